"""Scanners of a project."""
