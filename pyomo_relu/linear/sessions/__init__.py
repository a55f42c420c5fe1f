"""The only door to the solver libraries HiGHS and Gurobi."""
