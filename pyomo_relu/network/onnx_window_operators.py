"""Convolutions and pooling in any number of dimensions."""
