"""The names of the bound methods, in the order of their cost."""

METHODS = ("interval", "crown", "split", "lp", "milp")

#: Those of them that solve LPs or MILPs.
BY_SOLVER = ("lp", "milp")

DEFAULT_METHODS = ("interval", "crown", "split", "lp")
