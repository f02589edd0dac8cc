"""Readings: audits against the prediction, second readings against the label, and what they say."""
