"""The computational effort of one solve."""
