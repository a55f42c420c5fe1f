"""How each solver of Pyomo's takes the Vars' values as a start."""

_KEYWORD = "solve(model, warmstart=True)"
_CONFIG = "opt.config.warmstart_discrete_vars = True (integer Vars only)"

#: How each solver of Pyomo's factory is handed a start; None: it cannot be.
HOW_TO_START = {
    "appsi_highs": _KEYWORD,
    "gurobi": _KEYWORD,
    "gurobi_direct": _KEYWORD,
    "gurobi_persistent": _KEYWORD,
    "gurobi_direct_v2": _CONFIG,
    "gurobi_persistent_v2": _CONFIG,
    "gurobi_direct_minlp": _CONFIG,
    "scip_direct": _CONFIG,
    "scip_persistent": _CONFIG,
    "ipopt": "itself: it begins at the Vars' values",
    "highs": None,
    "appsi_gurobi": None,
    "relu.branch": None,
}


def takes_warmstart(name):
    """Whether a solver takes the Vars' values by ``warmstart=True``."""
    return HOW_TO_START.get(name) == _KEYWORD
