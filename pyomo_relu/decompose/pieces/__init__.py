"""Pieces of all parts refined together, and the MILP over them."""
