"""Networks within nonlinear rows: our routes beside those of SCIP and Gurobi.

``python -m benchmarks.nonlinear``; see README.md beside it.
"""
