"""Predictions: the grid that shows them, orders, filters, accepting, export."""
