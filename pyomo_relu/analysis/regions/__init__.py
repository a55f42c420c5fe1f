"""Counting the linear regions of a network."""
