"""``pyomo-relu minimise`` and ``maximise``: a proven optimum of one output over a box."""

import contextlib
import math
import sys
from functools import partial

from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_limits,
    add_output,
    add_progress,
    non_negative,
    read_network,
    whole,
)
from pyomo_relu.cli.describe import box_data, box_text, headline, network_data
from pyomo_relu.cli.model import add_restrictions, build
from pyomo_relu.cli.outcome import DONE, INFEASIBLE, NOT_PROVEN, Outcome
from pyomo_relu.common.table import format_table

_TEXT = """\
The {least} value of an output over a box, proven, with the point that takes it.

It is what SolverFactory("relu") does. Other outputs can be kept within ranges.
"""


def add(commands):
    """Declare both commands."""
    for name, what in (("minimise", "least"), ("maximise", "greatest")):
        maximise = name == "maximise"
        parser = add_command(
            commands,
            name,
            partial(run, maximise=maximise),
            _TEXT.format(least=what),
            also=[name.replace("mise", "mize")],
        )
        add_file(parser)
        add_output(parser)
        add_box(parser)
        add_restrictions(parser)
        parser.add_argument(
            "--gap",
            type=non_negative,
            default=1e-4,
            help="relative gap between value and bound to stop at (default 1e-4)",
        )
        parser.add_argument(
            "--solver",
            choices=["auto", "highs", "gurobi"],
            default="auto",
            help="of LPs and MILPs (default: gurobi where licensed for it, else highs)",
        )
        parser.add_argument(
            "--threads", type=whole(1), default=1, help="routes side by side"
        )
        add_limits(parser)
        add_progress(parser, "the solver's log")


def run(options, maximise):
    """Build the model, solve it, check the point."""
    network = read_network(options)
    m, output, lower, upper = build(options, network, maximise)
    results = _solve(m, options)
    status = str(results.solver.termination_condition)
    data = {
        "network": network_data(network),
        "box": box_data(lower, upper),
        "output": output,
        "sense": "maximise" if maximise else "minimise",
        "status": status,
        "value": None,
        "bound": None,
        "gap": None,
        "x": None,
        "y": None,
        "forward_error": None,
        "seconds": float(results.solver.wallclock_time),
        "message": str(results.solver.message),
    }
    if status == "infeasible":
        return Outcome(_infeasible(data), data, INFEASIBLE)
    bound = results.problem.upper_bound if maximise else results.problem.lower_bound
    data["bound"] = float(bound)
    if all(v.value is not None for v in m.x.values()):
        data |= _point(m, output, data["bound"])
    text = _text(network, data, lower, upper)
    return Outcome(text, data, DONE if status == "optimal" else NOT_PROVEN)


def _solve(m, options):
    import pyomo.environ as pyo

    # the log goes beside the results, not among them
    with contextlib.redirect_stdout(sys.stderr):
        return pyo.SolverFactory("relu").solve(
            m,
            time_limit=options.time_limit,
            mip_gap=options.gap,
            solver=options.solver,
            threads=options.threads,
            tee=options.progress,
        )


def _point(m, output, bound):
    from pyomo_relu.linear.rounding import relative_gap

    value = float(m.nn.output_vars()[output].value)
    gap = relative_gap(value, bound) if math.isfinite(bound) else math.inf
    return {
        "value": value,
        "gap": float(gap),
        "x": [v.value for v in m.x.values()],
        "y": [v.value for v in m.nn.output_vars()],
        "forward_error": float(m.nn.forward_error()),
    }


def _infeasible(data):
    # the message begins with the status, too
    why = data["message"].removeprefix(data["status"]).lstrip(".; ")
    return f"infeasible: no point of the box satisfies --within. {why}"


def _text(network, data, lower, upper):
    rows = [
        ["status", data["status"]],
        [f"output {data['output']}, {data['sense']}d", data["value"]],
        ["proven bound", data["bound"]],
        ["relative gap", data["gap"]],
        ["seconds", data["seconds"]],
        ["differs from the network by", data["forward_error"]],
    ]
    rows = [
        [label, f"{value:.9g}" if label in ("proven bound", rows[1][0]) else value]
        if isinstance(value, float)
        else [label, value]
        for label, value in rows
    ]
    lines = [headline(network), box_text(lower, upper), ""]
    lines += [format_table(["result", "value"], rows)]
    if data["x"] is not None:
        x = [
            [str(index), value]
            for index, value in zip(network.input_index(), data["x"], strict=True)
        ]
        x = [[index, f"{value:.9g}"] for index, value in x]
        lines += ["", format_table(["input", "value"], x)]
    return "\n".join(lines)
