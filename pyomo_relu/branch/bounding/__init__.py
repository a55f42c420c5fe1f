"""Bounds over batches of boxes."""
