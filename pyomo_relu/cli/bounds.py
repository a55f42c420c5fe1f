"""``pyomo-relu bounds``: proven bounds of every neuron and output over a box."""

from pyomo_relu.bounds.methods import DEFAULT_METHODS, METHODS
from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_limits,
    add_progress,
    read_box,
    read_network,
    whole,
)
from pyomo_relu.cli.describe import box_data, box_text, headline, network_data
from pyomo_relu.cli.outcome import DONE, NOT_PROVEN, Outcome
from pyomo_relu.common.table import format_table

_TEXT = """\
Proven bounds of neurons and outputs over a box, by the methods you choose.

Interval arithmetic, CROWN and input splitting need no solver; "lp" and "milp" solve
LPs and MILPs for what is undecided then. Bounds are rounded outward.
"""


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "bounds", run, _TEXT)
    add_file(parser)
    add_box(parser)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(DEFAULT_METHODS),
        metavar="METHOD",
        help=f"of {', '.join(METHODS)}; default {' '.join(DEFAULT_METHODS)}",
    )
    parser.add_argument(
        "--solver", choices=["highs", "gurobi"], default="highs", help="for LPs, MILPs"
    )
    parser.add_argument(
        "--workers", type=whole(1), default=1, help="processes for LPs and MILPs"
    )
    parser.add_argument(
        "--neurons", action="store_true", help="print the bounds of every neuron"
    )
    add_limits(parser)
    add_progress(parser, "bars")


def run(options):
    """Tighten and print."""
    network = read_network(options)
    lower, upper = read_box(options, network)
    bounds, statistics = _tighten(network, lower, upper, options)
    n = len(network.activation_layers)
    data = {
        "network": network_data(network),
        "box": box_data(lower, upper),
        "methods": list(options.methods),
        "stable": bounds.n_stable,
        "unstable": bounds.n_unstable,
        "layers": [
            {
                "layer": k,
                "lower": bounds.lower[k],
                "upper": bounds.upper[k],
                "source": bounds.source[k],
            }
            for k in range(n)
        ],
        "outputs": {"lower": bounds.lower[n], "upper": bounds.upper[n]},
        "statistics": statistics.to_dict(),
    }
    lines = [headline(network), box_text(lower, upper), "", str(statistics), ""]
    if options.neurons:
        lines += [_neurons(network, bounds, range(n)), ""]
    lines += [_outputs(network, bounds)]
    stopped = statistics.interrupted or statistics.time_limit_reached
    return Outcome("\n".join(lines), data, NOT_PROVEN if stopped else DONE)


def _tighten(network, lower, upper, options):
    from contextlib import nullcontext

    from pyomo_relu.bounds import tighten
    from pyomo_relu.common.progress import progress_bars

    if options.workers > 1:
        from concurrent.futures import ProcessPoolExecutor

        pool = ProcessPoolExecutor(options.workers)
    else:
        pool = nullcontext()
    with pool as executor, progress_bars(options.progress) as progress:
        return tighten(
            network,
            lower,
            upper,
            methods=options.methods,
            time_limit=options.time_limit,
            solver=options.solver,
            executor=executor,
            progress=progress,
        )


def _neurons(network, bounds, layers):
    rows = []
    for k in layers:
        states = [
            ("active", bounds.active(k)),
            ("inactive", bounds.inactive(k)),
            ("at ceiling", bounds.at_ceiling(k)),
        ]
        for i in range(network.layers[k].size):
            state = next((name for name, which in states if which[i]), "unstable")
            ends = bounds.lower[k][i], bounds.upper[k][i]
            rows.append([k, i, *map(float, ends), state, str(bounds.source[k][i])])
    return format_table(["layer", "neuron", "lower", "upper", "state", "by"], rows)


def _outputs(network, bounds):
    n = len(network.activation_layers)
    rows = [
        [k, str(index), float(bounds.lower[n][k]), float(bounds.upper[n][k])]
        for k, index in enumerate(network.output_index())
    ]
    shown = rows[:20]
    more = f"\n({len(rows) - 20} more by --json)" if len(rows) > 20 else ""
    return format_table(["output", "index", "lower", "upper"], shown) + more
