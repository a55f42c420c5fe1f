"""The routes from a linear model with networks in it to a proven optimum."""

from benchmarks.comparison.route import Route
from benchmarks.other_packages.routes import OTHERS

_BIGM = ("relu.bigm", {})

#: name -> Route
ROUTES = {
    "auto": Route("appsi_highs", ("relu.auto", {"seconds": "time_budget"})),
    "bounds+bigm": Route("appsi_highs", ("relu.bounds", {}), _BIGM),
    "obbt+bigm": Route(
        "appsi_highs",
        ("relu.obbt", {"scope": "model", "seconds": "time_limit"}),
        _BIGM,
    ),
    "relu.branch": Route("relu.branch"),
    "relu": Route("relu", solver="highs"),
    "relu+Gurobi": Route("relu", solver="gurobi"),
    **OTHERS,
}

#: Those that are run unless others are asked for: HiGHS alone.
DEFAULT = [name for name in ROUTES if name not in ("relu+Gurobi", *OTHERS)]
