"""Mappings: the classes of a project as another scheme has them, and metrics under that scheme."""
