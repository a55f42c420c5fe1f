"""The command line: which models and routes are run, and what is printed."""

import argparse
import logging
import sys

from benchmarks.regret.models import MODELS
from benchmarks.regret.routes import DEFAULT, ROUTES
from benchmarks.regret.run import disagreements, run
from benchmarks.regret.table import routes_table, runs_table, write_csv
from pyomo_relu.common.progress import counting_bar

#: Run by every route before the clock counts, so that what is loaded once is loaded.
_WARM_UP = "single_3"


def main(arguments=None):
    """Run, print the tables; 0 if all answers agree, else 1."""
    options = _parser().parse_args(arguments)
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return _run(options)
    finally:
        logger.setLevel(level)


def _run(options):
    routes = [name for name in options.routes if ROUTES[name].registered]
    for name in options.routes:
        if name not in routes:
            print(f"Left out: Pyomo knows no solver '{ROUTES[name].solver}'.")
    if not routes:
        print("error: no route is left.", file=sys.stderr)
        return 2
    runs = []
    total = len(options.only) * len(routes)
    with counting_bar(not options.silent, "regret", "runs", total) as count:
        for route in routes:
            run(_WARM_UP, route, min(options.limit, 2.0))
        for name in options.only:
            for route in routes:
                runs.append(run(name, route, options.limit))
                count(last=f"{name} {route}")
                if options.csv:  # as it goes: a long run may be interrupted
                    write_csv(options.csv, runs)
    print(runs_table(runs))
    print()
    print(routes_table(runs))
    print(
        f"\nA run without proof counts as {options.limit:g} s. "
        "Regret: seconds / seconds of the best of these routes."
    )
    wrong = [text for one in runs for text in one.complaints()] + disagreements(runs)
    for text in wrong:
        print(f"WRONG: {text}.")
    return 1 if wrong else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regret",
        description="Compare the routes on the set of models, one thread each.",
    )
    parser.add_argument(
        "--limit", type=float, default=30.0, help="seconds of a run (default 30)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(MODELS),
        choices=MODELS,
        metavar="NAME",
        help=f"models, of: {', '.join(MODELS)}",
    )
    parser.add_argument(
        "--routes",
        nargs="+",
        default=DEFAULT,
        choices=ROUTES,
        metavar="NAME",
        help=f"of: {', '.join(ROUTES)}",
    )
    parser.add_argument("--csv", metavar="FILE", help="write all runs there, too")
    parser.add_argument("--silent", action="store_true", help="no progress bar")
    return parser
