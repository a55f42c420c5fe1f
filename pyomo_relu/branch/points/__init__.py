"""Feasible points found while branching."""
