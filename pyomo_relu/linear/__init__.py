"""Linear models: rows, proofs in floating point, and the solvers of LPs and MILPs."""
