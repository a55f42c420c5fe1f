"""``pyomo-relu examples``: the networks that come with the package."""

from pyomo_relu.cli.arguments import EXAMPLE, add_command
from pyomo_relu.cli.outcome import Outcome
from pyomo_relu.common.table import format_table

_TEXT = "Lists the networks that come with the package; use them as example:NAME."


def add(commands):
    """Declare the command."""
    add_command(commands, "examples", run, _TEXT)


def run(options):
    """List them."""
    from pyomo_relu.network.examples import example_networks

    known = example_networks()
    data = {
        "examples": [
            {
                "name": name,
                "function": e.function,
                "lower": list(e.lower),
                "upper": list(e.upper),
                "path": str(e.path),
            }
            for name, e in known.items()
        ]
    }
    rows = [
        [EXAMPLE + name, e.function or "random weights", len(e.lower), _box(e)]
        for name, e in known.items()
    ]
    text = format_table(["network", "learned", "inputs", "box"], rows, left=2)
    return Outcome(text, data)


def _box(example):
    ends = dict.fromkeys(zip(example.lower, example.upper, strict=True))
    return ", ".join(f"[{lo:g}, {hi:g}]" for lo, hi in ends)
