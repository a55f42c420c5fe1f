"""Means, ratios and rows computed from a run's tables."""
