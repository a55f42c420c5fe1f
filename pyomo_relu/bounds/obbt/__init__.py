"""Optimization-based bound tightening."""
