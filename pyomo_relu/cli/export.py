"""``pyomo-relu export``: the model of a network as an LP, MPS or NL file."""

import os
import tempfile

from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_output,
    read_network,
)
from pyomo_relu.cli.compare import recipe
from pyomo_relu.cli.describe import box_data, network_data
from pyomo_relu.cli.model import add_restrictions, build
from pyomo_relu.cli.outcome import Outcome
from pyomo_relu.cli.target import add_target, check_target, writing
from pyomo_relu.errors import ModelError

#: Stands for the exact nonlinear rows, without a formulation.
AS_IT_IS = "none"

_TEXT = """\
Writes the model "least value of an output over a box" for other solvers.

Without --write it goes to stdout. The formulation is relu.bigm with CROWN's bounds unless
you choose another ("none", in nl only, keeps the exact nonlinear rows).
"""


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "export", run, _TEXT)
    add_file(parser)
    parser.add_argument("--to", choices=["mps", "lp", "nl"], required=True)
    add_target(parser, "--write", "the file to write")
    parser.add_argument(
        "--formulation",
        default="relu.bounds+relu.bigm",
        metavar="NAME",
        help="as in compare; default relu.bounds+relu.bigm",
    )
    parser.add_argument("--maximise", action="store_true", help="instead of minimising")
    parser.add_argument(
        "--labels", action="store_true", help="the model's names, not x1, x2, ..."
    )
    add_output(parser)
    add_box(parser)
    add_restrictions(parser)


def run(options):
    """Encode and write."""
    if options.write is not None:
        check_target("--write", options.write, options.force)
    exact = options.formulation == AS_IT_IS
    if exact and options.to != "nl":
        raise ModelError(
            f"--formulation none keeps nonlinear rows, which {options.to} does not "
            "hold. Choose --to nl, or a formulation such as relu.bigm."
        )
    steps = [] if exact else recipe(options.formulation)
    network = read_network(options)
    m, output, lower, upper = build(options, network, options.maximise)
    from pyomo_relu.analysis.effort.effort import apply_transformations

    apply_transformations(m, steps)
    text = _written(m, options)
    data = {
        "network": network_data(network),
        "box": box_data(lower, upper),
        "output": output,
        "sense": "maximise" if options.maximise else "minimise",
        "to": options.to,
        "formulation": options.formulation,
        "file": options.write,
        "model": None if options.write else text,
        **_sizes(m),
    }
    if options.write:
        with (
            writing(options.write),
            open(options.write, "w", encoding="utf-8", newline="\n") as stream,
        ):
            stream.write(text)
        text = (
            f"{options.write}: {data['rows']} rows, {data['columns']} columns, "
            f"{data['binaries']} binaries"
        )
    return Outcome(text.rstrip("\n"), data)


def _written(m, options):
    """What Pyomo's writer makes of the model."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model.{options.to}")
        labels = {"symbolic_solver_labels": options.labels}
        try:
            m.write(path, io_options=labels)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"Pyomo's {options.to} writer refuses the model by "
                f"{options.formulation}: {error} Choose another --to or --formulation."
            ) from None
        with open(path, encoding="utf-8") as stream:
            return stream.read()


def _sizes(m):
    import pyomo.environ as pyo
    from pyomo.core.expr.visitor import identify_variables

    rows = list(m.component_data_objects(pyo.Constraint, active=True))
    used = {id(v): v for row in rows for v in identify_variables(row.body, False)}
    used |= {id(v): v for v in identify_variables(m.goal.expr, False)}
    return {
        "rows": len(rows),
        "columns": len(used),
        "binaries": sum(v.is_binary() for v in used.values()),
    }
