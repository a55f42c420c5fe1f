"""The set and its command line."""

from functools import partial

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.regret.routes import ROUTES
from pyomo_relu.study.problems.surrogates import surrogate_model

_SINGLE = [
    f"{function}_{depth}x25"
    for function in ("peaks", "himmelblau", "ackley2")
    for depth in (2, 3, 5)
] + ["ackley5_3x50", "ackley5_5x25"]
_COUPLED = [
    "peaks_2x25+ackley2_3x25",
    "peaks_2x25+ackley2_3x25+himmelblau_3x25",
    "peaks_2x25+ackley2_3x25+himmelblau_3x25+ackley2_2x25",
]

SURROGATES = ModelSet(
    name="surrogates",
    description="Surrogates of Peaks, Himmelblau and Ackley, alone and coupled.",
    models={n: partial(surrogate_model, n.split("+")) for n in [*_SINGLE, *_COUPLED]},
    kind=lambda name: "coupled" if "+" in name else "single",
    routes=ROUTES,
    default=["relu", "relu.branch", "auto", "gurobi-ml", "omlt+HiGHS", "pyscipopt-ml"],
    warm_up="himmelblau_2x25",
    limit=60.0,
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(SURROGATES, arguments)
