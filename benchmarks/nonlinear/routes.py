"""The routes from a nonlinear model with networks in it to a proven optimum."""

from benchmarks.comparison.route import Route

#: Bounds of all neurons, which every encoding below is given.
_BOUNDS = ("relu.obbt", {"scope": "model", "seconds": "time_limit"})

_ENCODINGS = "bigm", "cells", "complementarity"


def _encoded(solver, encoding):
    return Route(solver, _BOUNDS, (f"relu.{encoding}", {}))


#: name -> Route
ROUTES = {
    "relu": Route("relu", solver="highs"),
    "relu.branch": Route("relu.branch"),
    **{f"scip {name}": _encoded("scip_direct", name) for name in _ENCODINGS},
    **{f"gurobi {name}": _encoded("gurobi_direct_minlp", name) for name in _ENCODINGS},
    "gurobi abs": Route("gurobi_direct_minlp"),
}

#: Of which the best counts, model by model.
FAMILIES = {
    "ours": ["relu", "relu.branch"],
    "SCIP": [name for name in ROUTES if name.startswith("scip")],
    "Gurobi": [name for name in ROUTES if name.startswith("gurobi")],
}
