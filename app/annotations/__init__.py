"""Annotations: giving a class to cells, taking it back, seeing who did."""
