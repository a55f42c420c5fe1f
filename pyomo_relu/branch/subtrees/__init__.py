"""Subtrees of a branch and bound as tasks of any executor, and who hands them out."""
