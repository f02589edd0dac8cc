"""Encoders: registering their files and moving a project from one to another."""
