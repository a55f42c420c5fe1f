"""The tree: which boxes are worked on, handed to a MILP, written to a file."""
