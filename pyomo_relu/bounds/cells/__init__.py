"""Cells of the input box with linear bounds of the outputs on each."""
