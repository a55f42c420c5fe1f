"""The transformations that record bounds."""
