"""``SolverFactory("relu")``: routes from a model to a proven optimum, sharing their time."""
