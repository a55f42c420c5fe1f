"""The command line: which models and routes are run, and what is printed."""

import argparse
import logging
import sys

from benchmarks.comparison.run import disagreements, run
from benchmarks.comparison.table import (
    families_table,
    routes_table,
    runs_table,
    write_csv,
)
from pyomo_relu.common.progress import counting_bar


def main(models, arguments=None):
    """Run a ModelSet, print the tables; 0 if all answers agree, else 1."""
    options = _parser(models).parse_args(arguments)
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return _run(models, options)
    finally:
        logger.setLevel(level)


def _run(models, options):
    known = models.routes
    routes = [name for name in options.routes if known[name].registered]
    for name in options.routes:
        if name not in routes:
            print(f"Left out: Pyomo knows no solver '{known[name].solver}'.")
    if not routes:
        print("error: no route is left.", file=sys.stderr)
        return 2
    runs = []
    total = len(options.only) * len(routes)
    with counting_bar(not options.silent, models.name, "runs", total) as count:
        for route in routes:
            # what is loaded once is loaded before the clock counts
            run(models, models.warm_up, route, min(options.limit, 2.0))
        for name in options.only:
            for route in routes:
                runs.append(run(models, name, route, options.limit))
                count(last=f"{name} {route}")
                if options.csv:  # as it goes: a long run may be interrupted
                    write_csv(options.csv, runs)
    print(runs_table(runs))
    print()
    print(routes_table(runs))
    if models.families:
        print()
        print(families_table(runs, models.families))
    print(
        f"\nA run without proof counts as {options.limit:g} s. "
        "Regret: seconds / seconds of the best of these routes."
    )
    wrong = [text for one in runs for text in one.complaints()] + disagreements(runs)
    for text in wrong:
        print(f"WRONG: {text}.")
    return 1 if wrong else 0


def _parser(models):
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{models.name}", description=models.description
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=models.limit,
        help=f"seconds of a run (default {models.limit:g})",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(models.models),
        choices=models.models,
        metavar="NAME",
        help=f"models, of: {', '.join(models.models)}",
    )
    parser.add_argument(
        "--routes",
        nargs="+",
        default=models.default,
        choices=models.routes,
        metavar="NAME",
        help=f"of: {', '.join(models.routes)}",
    )
    parser.add_argument("--csv", metavar="FILE", help="write all runs there, too")
    parser.add_argument("--silent", action="store_true", help="no progress bar")
    return parser
