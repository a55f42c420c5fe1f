"""Activations as pairs of nonnegative variables of which one is zero."""
