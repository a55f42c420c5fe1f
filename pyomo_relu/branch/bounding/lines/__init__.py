"""Linear functions below and above row functions over batches of boxes."""
