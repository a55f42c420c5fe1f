"""The problem that a tree works on: its networks as one graph, and rows in terms of it."""
