"""The command line: which models and routes are run, and what is printed."""

import argparse
import logging
import sys
from dataclasses import asdict, replace

from benchmarks.comparison.environments import NEEDS, interpreter, run_there, versions
from benchmarks.comparison.profile import draw_profile, profile_table
from benchmarks.comparison.report import write_json
from benchmarks.comparison.run import disagreements, run
from benchmarks.comparison.table import (
    control,
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
    pythons = _interpreters(models, options)
    routes = [name for name in options.routes if name in pythons]
    if not routes:
        print("error: no route is left.", file=sys.stderr)
        return 2
    runs, wrong = [], []
    repeated = [*routes, routes[0]] if options.control else routes
    total = len(options.only) * len(repeated)
    with counting_bar(not options.silent, models.name, "runs", total) as count:
        for route in routes:
            if pythons[route] is None:
                # what is loaded once is loaded before the clock counts
                run(models, models.warm_up, route, min(options.limit, 2.0))
        for name in options.only:
            for i, route in enumerate(repeated):
                one = _one(models, name, route, options.limit, pythons[route])
                wrong += one.complaints()
                if i == len(routes):
                    one = replace(one, route=f"{route} again")
                runs.append(one)
                count(last=f"{name} {route}")
                if options.csv:  # as it goes: a long run may be interrupted
                    write_csv(options.csv, runs)
    _print(models, runs, options)
    if options.json:
        there = {r: versions(pythons[r]) for r in routes if pythons[r] is not None}
        write_json(
            options.json, models.name, [asdict(r) for r in runs], options.limit, there
        )
    if options.profile:
        draw_profile(_without_control(runs), options.profile)
    wrong += disagreements(runs)
    for text in wrong:
        print(f"WRONG: {text}.")
    return 1 if wrong else 0


def _interpreters(models, options):
    """{route: another Python, or None for this one} of the routes that can be run."""
    found, known = {}, models.routes
    for name in options.routes:
        if options.own_environments and name in NEEDS:
            python = interpreter(name)
            if python is not None:
                found[name] = python
        elif known[name].registered:
            found[name] = None
        else:
            print(f"Left out: Pyomo knows no solver '{known[name].solver}'.")
    return found


def _one(models, name, route, limit, python):
    if python is None:
        return run(models, name, route, limit)
    one = run_there(python, models.name, name, route, limit)
    return replace(one, kind=models.kind(name))


def _without_control(runs):
    return [one for one in runs if not one.route.endswith(" again")]


def _print(models, runs, options):
    compared = _without_control(runs)
    print(runs_table(runs))
    print()
    print(routes_table(compared))
    print()
    print(profile_table(compared))
    if models.families:
        print()
        print(families_table(compared, models.families))
    print(
        f"\nA run without proof counts as {options.limit:g} s. "
        "Regret: seconds / seconds of the best of these routes."
    )
    if options.control:
        print(f"{control(runs)}")


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
        default=models.default_models or list(models.models),
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
    parser.add_argument(
        "--json", metavar="FILE", help="all runs, with machine, versions and command"
    )
    parser.add_argument(
        "--profile", metavar="FILE.png", help="draw the performance profile"
    )
    parser.add_argument(
        "--own-environments",
        action="store_true",
        help="run other packages' routes in environments that pip makes for them",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        help="run the first route twice on each model, to see the noise",
    )
    parser.add_argument("--silent", action="store_true", help="no progress bar")
    return parser
