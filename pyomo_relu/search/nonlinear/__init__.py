"""Points of models with nonlinear rows: starts, and steps by LPs and QPs."""
