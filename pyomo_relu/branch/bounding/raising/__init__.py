"""Bounds of boxes raised by slopes and multipliers: the steps, whose, whether it pays."""
