"""``pyomo-relu verify``: does a property in VNN-LIB's format hold for a network."""

from pyomo_relu.cli.arguments import (
    add_command,
    add_limits,
    add_progress,
    path_of,
)
from pyomo_relu.cli.outcome import COUNTEREXAMPLE, DONE, NOT_PROVEN, Outcome, plain
from pyomo_relu.common.table import format_table

_TEXT = """\
Whether a network satisfies a property in VNN-LIB's format.

A VNN-LIB file describes counterexamples: "unsat" means that there is none, so that the
property holds, "sat" that one was found (it is shown), "unknown" that neither was proven
within the limits.
"""

#: What the exit code says of a verdict; any other is "not proven".
_CODES = {"unsat": DONE, "sat": COUNTEREXAMPLE}


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "verify", run, _TEXT)
    parser.add_argument("file", metavar="ONNX", help="ONNX file, or example:NAME")
    parser.add_argument("property", metavar="VNNLIB", help="the property's file")
    add_limits(parser)
    add_progress(parser, "a bar")


def run(options):
    """Verify and print the verdict."""
    from pyomo_relu import verify

    result = verify(
        path_of(options.file),
        options.property,
        time_limit=options.time_limit,
        progress=options.progress,
    )
    data = {
        "network": options.file,
        "property": options.property,
        "verdict": result.verdict,
        "witness": plain(result.witness),
        "outputs": plain(result.outputs),
        "bound": plain(result.bound),
        "nodes": result.nodes,
        "seconds": result.seconds,
        "message": result.message,
    }
    lines = [result.verdict, result.message]
    lines += [f"{result.nodes} nodes, {result.seconds:.3f} seconds"]
    for title in ("witness", "outputs"):
        if data[title] is not None:
            lines += ["", _vector(title, data[title])]
    code = _CODES.get(result.verdict, NOT_PROVEN)
    return Outcome("\n".join(line for line in lines if line is not None), data, code)


def _vector(title, values):
    rows = [[k, f"{value:.9g}"] for k, value in enumerate(values)]
    return format_table([title, "value"], rows)
