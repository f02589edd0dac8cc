"""Cells: their images, and which cells a project has."""
