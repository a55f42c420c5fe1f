"""Nonlinear functions of one or two columns: values, ranges, proven lines on boxes."""
