"""The command line over all sets."""

import argparse
from pathlib import Path

from benchmarks.comparison.command import main as compare
from benchmarks.comparison.summary import write_summary
from benchmarks.sets import QUESTIONS, SETS, model_set, question

_EPILOG = f"""Each set also runs by itself, with more options: python -m benchmarks.SET --help.
{", ".join(QUESTIONS)} ask our own routes only; --routes, --own-environments and --control
do not matter to them. Workers are measured by python -m benchmarks.distributed."""


def main(arguments=None):
    """Run sets; 0 if all answers agree, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare routes to proven optima on sets of models, one thread each.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--set",
        nargs="+",
        choices=[*SETS, *QUESTIONS],
        default=[*SETS, *QUESTIONS],
        dest="sets",
    )
    parser.add_argument("--routes", nargs="+", help="default: each set's own")
    parser.add_argument(
        "--limit", type=float, help="seconds of a run; default the set's"
    )
    parser.add_argument(
        "--results",
        metavar="FOLDER",
        help="where to write SET.json, of compared routes SET.png (their profile), and "
        "a summary of all that is there, README.md",
    )
    parser.add_argument("--own-environments", action="store_true")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args(arguments)
    status = 0
    if options.results:
        Path(options.results).mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        if name in QUESTIONS:
            print(f"{name}\n")
            status = max(status, question(name)(list(_for_question(name, options))))
            print()
            continue
        models = model_set(name)
        if not models.models:
            print(f"{name}: left out, its folder is not beside the checkout.\n")
            continue
        print(f"{name}: {models.description}\n")
        status = max(status, compare(models, list(_passed_on(models, options))))
        print()
    if options.results:
        write_summary(options.results, list(SETS))
    return status


def _passed_on(models, options):
    """The options for one set's own command."""
    if options.routes:
        yield from ("--routes", *(r for r in options.routes if r in models.routes))
    if options.limit is not None:
        yield from ("--limit", str(options.limit))
    if options.results:
        yield from ("--json", str(Path(options.results) / f"{models.name}.json"))
        yield from ("--profile", str(Path(options.results) / f"{models.name}.png"))
    for flag in ("own_environments", "control", "silent"):
        if getattr(options, flag):
            yield f"--{flag.replace('_', '-')}"


def _for_question(name, options):
    """The options for a command that compares nothing."""
    if options.limit is not None:
        yield from ("--limit", str(options.limit))
    if options.results:
        yield from ("--json", str(Path(options.results) / f"{name}.json"))
