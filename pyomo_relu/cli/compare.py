"""``pyomo-relu compare``: formulations of one network under the same bounds."""

import json

from pyomo_relu.bounds.methods import METHODS
from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_output,
    add_progress,
    positive,
    read_network,
)
from pyomo_relu.cli.describe import box_data, box_text, headline, network_data
from pyomo_relu.cli.model import add_restrictions, build
from pyomo_relu.cli.outcome import DONE, NOT_PROVEN, Outcome
from pyomo_relu.common.table import format_table
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError, ReLUError

#: What is compared by default: everything that is a MILP.
FORMULATIONS = (
    "relu.bigm",
    "relu.partition",
    "relu.partition:n_parts=hull",
    "relu.cuts",
    "relu.cells",
    "relu.reduce",
    "relu.gdp+gdp.hull",
)

_TEXT = f"""\
Formulations of one network, each under the same bounds of the neurons.

An output is minimised (or, with --maximise, maximised) over the box. For each formulation
the table shows the optimum of its linear relaxation, its size, and what solving it takes
on one thread. A formulation is written NAME, NAME:OPTION=VALUE, or as several
transformations joined by "+". Default:
{" ".join(FORMULATIONS)}
"""

_NUMBERS = ("relaxation", "rows", "columns", "binaries")


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "compare", run, _TEXT)
    add_file(parser)
    add_output(parser)
    add_box(parser)
    add_restrictions(parser)
    parser.add_argument("--maximise", action="store_true", help="instead of minimising")
    parser.add_argument(
        "--formulations", nargs="+", default=list(FORMULATIONS), metavar="NAME"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=["interval"],
        metavar="METHOD",
        help=f"of the bounds that all start from, of {', '.join(METHODS)}; "
        "default interval, where formulations differ most",
    )
    parser.add_argument("--solver", choices=["highs", "gurobi"], default="highs")
    parser.add_argument(
        "--time-limit",
        type=positive,
        default=60.0,
        metavar="SECONDS",
        help="for each solve; default 60",
    )
    add_progress(parser, "a bar")


def run(options):
    """Bound once, then encode and solve by each formulation."""
    from pyomo_relu.bounds import tighten
    from pyomo_relu.common.progress import counting_bar

    recipes = {text: recipe(text) for text in options.formulations}
    network = read_network(options)
    _, output, lower, upper = build(options, network, options.maximise)
    bounds, _ = tighten(
        network, lower, upper, methods=options.methods, solver=options.solver
    )
    rows = []
    total = len(recipes)
    with counting_bar(options.progress, "compare", "formulation", total) as count:
        for text, steps in recipes.items():
            rows.append(_measure(options, network, bounds, text, steps))
            count()
    data = {
        "network": network_data(network),
        "box": box_data(lower, upper),
        "output": output,
        "sense": "maximise" if options.maximise else "minimise",
        "bounds": {"methods": list(options.methods), "unstable": bounds.n_unstable},
        "solver": options.solver,
        "formulations": rows,
    }
    lines = [
        headline(network),
        box_text(lower, upper),
        f"bounds of all: {', '.join(options.methods)} "
        f"({counted(bounds.n_unstable, 'unstable neuron')}); {options.solver}, one thread",
        "",
        _table(rows),
    ]
    lines += [f"{r['formulation']}: {r['refused']}" for r in rows if r["refused"]]
    proven = all(r["status"] == "optimal" or r["refused"] for r in rows)
    return Outcome("\n".join(lines), data, DONE if proven else NOT_PROVEN)


def recipe(text):
    """Names and options of the transformations that a word stands for.

    Parameters
    ----------
    text : str
        Such as ``relu.partition:n_parts=3`` or ``relu.gdp+gdp.hull``.

    Returns
    -------
    list of (str, dict)

    Raises
    ------
    ModelError
        If a transformation is unknown or an option is not of the form NAME=VALUE.
    """
    import pyomo.environ  # noqa: F401  (registers gdp.*)
    from pyomo.core.base import TransformationFactory

    from pyomo_relu.common.wording import meant

    steps = []
    for part in text.split("+"):
        name, *given = part.split(":")
        if name not in set(TransformationFactory):
            known = sorted(n for n in TransformationFactory if n.startswith("relu."))
            raise ModelError(
                f"there is no transformation '{name}'.{meant(name, known)} Those of "
                f"networks: {', '.join(known)}."
            )
        steps.append((name, dict(_option(text, word) for word in given)))
    return steps


def _option(text, word):
    key, equals, value = word.partition("=")
    if not (key and equals and value):
        raise ModelError(f"{text}: '{word}' is not OPTION=VALUE, as in n_parts=3.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _measure(options, network, bounds, text, steps):
    """One line of the table."""
    from pyomo_relu.analysis import measure_effort

    m, *_ = build(options, network, options.maximise)
    m.nn.use_bounds(bounds)
    line = {"formulation": text, "refused": None}
    refused = _not_linear(steps)
    try:
        if refused:
            raise ModelError(refused)
        effort = measure_effort(m, steps, options.solver, time_limit=options.time_limit)
    except ReLUError as error:
        empty = (*_NUMBERS, "status", "optimum", "nodes", "encode_seconds", "seconds")
        refused = " ".join(str(error).split())
        return {**line, **dict.fromkeys(empty), "refused": refused}
    return {
        **line,
        "relaxation": effort.relaxation_bound,
        "rows": effort.n_rows,
        "columns": effort.n_variables,
        "binaries": effort.n_binaries,
        "status": effort.status,
        "optimum": effort.objective,
        "nodes": effort.nodes,
        "encode_seconds": effort.preprocessing_seconds,
        "seconds": effort.solve_seconds,
    }


def _not_linear(steps):
    """Why a recipe gives no MILP, or None."""
    from pyomo.core.base import TransformationFactory

    from pyomo_relu.transform.base import NetworkFormulation
    from pyomo_relu.transform.declaration import PROBLEM_CLASSES

    for name, _ in steps:
        formulation = TransformationFactory.get_class(name)
        if issubclass(formulation, NetworkFormulation):
            taken = PROBLEM_CLASSES[formulation.TAKES]
            if taken != PROBLEM_CLASSES["binaries"]:
                return f"it needs a solver of {taken}; compared are MILPs"
    return None


def _table(rows):
    header = [
        "formulation",
        "LP relaxation",
        "rows",
        "columns",
        "binaries",
        "status",
        "optimum",
        "nodes",
        "encode s",
        "solve s",
    ]
    keys = [
        "formulation",
        *_NUMBERS,
        "status",
        "optimum",
        "nodes",
        "encode_seconds",
        "seconds",
    ]
    cells = [
        [("refused" if r["refused"] and key == "status" else r[key]) for key in keys]
        for r in rows
    ]
    return format_table(header, cells)
