"""The set and its command line."""

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.nonlinear.known import KNOWN
from benchmarks.nonlinear.models import MODELS, kind
from benchmarks.nonlinear.routes import FAMILIES, ROUTES

NONLINEAR = ModelSet(
    name="nonlinear",
    description="Compare routes on models with nonlinear rows, one thread each.",
    models=MODELS,
    kind=kind,
    routes=ROUTES,
    default=list(ROUTES),
    warm_up="acquisition_2",
    limit=20.0,
    known=KNOWN,
    families=FAMILIES,
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(NONLINEAR, arguments)
