"""The set and its command line."""

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.regret.models import MODELS, kind
from benchmarks.regret.routes import DEFAULT, ROUTES

REGRET = ModelSet(
    name="regret",
    description="Compare the routes on the set of models, one thread each.",
    models=MODELS,
    kind=kind,
    routes=ROUTES,
    default=DEFAULT,
    warm_up="single_3",
    limit=30.0,
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(REGRET, arguments)
