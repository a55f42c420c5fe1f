"""The set and its command line."""

from functools import partial

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.flowsheets.models import shared_folder
from benchmarks.regret.routes import ROUTES
from pyomo_relu.study.problems.oil_well_model import oil_well_model

#: Wells and flowlines that are taken: all if None.
_CASES = {
    "well_8": ([8], ["flowline_b"]),
    "wells_78": ([7, 8], ["flowline_b"]),
    "wells_2678": ([2, 6, 7, 8], ["flowline_b"]),
    "field": (None, None),
}


def _models():
    folder = shared_folder("models", "oilwell")
    if folder is None:
        return {}
    return {
        f"{nets}_{case}": partial(oil_well_model, folder, nets, wells, lines)
        for nets in ("shallow", "deep")
        for case, (wells, lines) in _CASES.items()
    }


OIL_WELLS = ModelSet(
    name="oil_wells",
    description="Routing and choking of oil wells on two flowlines.",
    models=_models(),
    kind=lambda name: name.partition("_")[0],
    routes=ROUTES,
    default=["relu", "relu.branch", "auto", "gurobi-ml", "omlt+HiGHS", "pyscipopt-ml"],
    warm_up="shallow_well_8",
    limit=120.0,
    known={
        "shallow_field": (1.2863857, "proven by relu.branch"),
        "deep_field": (1.3048782, "proven by relu.branch"),
    },
)


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    return compare(OIL_WELLS, arguments)
