"""Bounds by propagation: interval arithmetic and CROWN, over batches of boxes."""
