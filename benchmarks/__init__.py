"""Measurements of speed and accuracy; each prints a table and one line of JSON."""
