"""Decomposition over networks."""
