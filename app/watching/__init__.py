"""Watching: whether what a scanner shows from day to day is still what its classifier was activated for."""
