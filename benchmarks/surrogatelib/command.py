"""The set and its command line."""

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.regret.routes import ROUTES
from benchmarks.surrogatelib.models import DEFAULT, MODELS, kind

SURROGATELIB = ModelSet(
    name="surrogatelib",
    description="Two surrogates of random quadratics, one minimised, one on a level.",
    models=MODELS,
    kind=kind,
    routes=ROUTES,
    default=["relu", "relu.branch", "gurobi-ml", "omlt+HiGHS", "pyscipopt-ml"],
    warm_up=DEFAULT[0],
    limit=60.0,
    default_models=DEFAULT,
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(SURROGATELIB, arguments)
