"""A node's bound: the master LP, column generation, and points near what it mixes."""
