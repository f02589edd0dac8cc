"""Classifiers: the versions, the labels they were fitted on, their metrics."""
