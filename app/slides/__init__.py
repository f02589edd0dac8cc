"""Slides: uploading images to them, and what became of every file."""
