"""What Pyomo sees of branch and bound: the model read, the solver, its results."""
