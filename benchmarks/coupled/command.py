"""The command line: which models are made, and the table of gaps."""

import argparse
import functools
import itertools

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.model_set import ModelSet
from benchmarks.coupled.models import ROWS, Size
from benchmarks.coupled.routes import GAP, ROUTES

#: The model that every route runs before the clock counts.
_WARM_UP = Size(2, "resource", identical=True)

_NETWORKS = {"different": False, "identical": True}
_COLUMNS = {"continuous": False, "whole": True}


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    options, rest = _parser().parse_known_args(arguments)
    chosen = [
        Size(n, rows, _NETWORKS[kind], _COLUMNS[columns])
        for rows, n, kind, columns in itertools.product(
            options.rows, options.networks, options.kinds, options.columns
        )
    ]
    sizes = {size.name: size for size in [*chosen, _WARM_UP]}
    models = {
        name: functools.partial(ROWS[size.rows], size) for name, size in sizes.items()
    }
    coupled = ModelSet(
        name="coupled",
        description="Compare routes on surrogates that rows couple, one thread each.",
        models=models,
        kind=lambda name: sizes[name].rows,
        routes=ROUTES,
        default=list(ROUTES),
        warm_up=_WARM_UP.name,
        limit=60.0,
        gap=GAP,
    )
    return compare(coupled, ["--only", *(size.name for size in chosen), *rest])


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coupled", add_help=False, allow_abbrev=False
    )
    for name, kind, default, known in (
        ("networks", int, [50, 200], None),
        ("rows", str, list(ROWS), ROWS),
        ("kinds", str, ["different"], _NETWORKS),
        ("columns", str, ["continuous"], _COLUMNS),
    ):
        parser.add_argument(
            f"--{name}", nargs="+", type=kind, default=default, choices=known
        )
    return parser
