"""The set and its command line."""

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.flowsheets.models import LINEAR, flowsheets
from benchmarks.regret.routes import ROUTES

FLOWSHEETS = ModelSet(
    name="flowsheets",
    description="Linear and mixed-integer linear flowsheets around surrogates.",
    models=flowsheets(LINEAR),
    kind=lambda name: name.partition("_")[0],
    routes=ROUTES,
    default=["relu", "relu.branch", "auto", "gurobi-ml", "omlt+HiGHS", "pyscipopt-ml"],
    warm_up="reformer_linear",
    limit=60.0,
    known={"reformer_linear": (0.301317, "proven; grid 0.30125")},
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(FLOWSHEETS, arguments)
