"""``pyomo-relu study``: the paper's study, which has a command line of its own."""

import argparse

from pyomo_relu.cli.outcome import Outcome

_TEXT = "trains, encodes, solves and compares: the paper's study (extra: study)"


def add(commands):
    """Declare the command; all that follows it goes to the study."""
    parser = commands.add_parser("study", help=_TEXT, add_help=False, prefix_chars="\0")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run, extra="study", json=False, name="study")


def run(options):
    """Hand over to the study, whose reports and exit codes are its own."""
    from pyomo_relu.study.__main__ import main

    return Outcome(code=main([word.strip() for word in options.arguments]))
