"""Encoders trained further on the cells of a project, without labels."""
