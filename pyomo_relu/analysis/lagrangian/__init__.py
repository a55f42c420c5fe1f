"""Proven bounds for ensembles of networks."""
