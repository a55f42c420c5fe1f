"""``pyomo-relu regions``: how many linear regions a network has in a box, and a picture."""

import os

from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_limits,
    add_output,
    add_progress,
    read_box,
    read_network,
    read_output,
    whole,
)
from pyomo_relu.cli.describe import box_data, box_text, headline, network_data
from pyomo_relu.cli.outcome import DONE, NOT_PROVEN, Outcome
from pyomo_relu.cli.target import add_target, check_target, writing
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError

_TEXT = """\
Counts the linear regions of a network in a box; draws them where two inputs vary.

Exact in the plane; for more inputs a walk from region to region, of which there may be
millions: --max-regions and --time-limit end it. What was counted by then is a certified
lower bound ("at least 100000 regions"), and the exit code says that it is no count.
"""


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "regions", run, _TEXT, extra="plot")
    add_file(parser)
    add_box(parser)
    add_output(parser)
    parser.add_argument(
        "--method",
        choices=["auto", "geometry", "lp", "sampling"],
        default="auto",
        help="auto is geometry where at most two inputs vary, else lp",
    )
    parser.add_argument(
        "--max-regions", type=whole(1), default=100_000, help="stop at so many"
    )
    add_target(parser, "--plot", "draw them: PNG, PDF or SVG, by the name's ending")
    add_limits(parser)
    add_progress(parser, "the regions counted so far")


def run(options):
    """Count, and draw if asked."""
    from pyomo_relu.analysis import count_regions

    network = read_network(options)
    lower, upper = read_box(options, network)
    if options.plot is not None:
        _check_plot(options, network, lower, upper)
    count = count_regions(
        network,
        lower,
        upper,
        method=options.method,
        max_regions=options.max_regions,
        time_limit=options.time_limit,
        progress=options.progress,
    )
    data = {
        "network": network_data(network),
        "box": box_data(lower, upper),
        "regions": count.to_dict(),
        "plot": options.plot,
    }
    lines = [headline(network), box_text(lower, upper), "", str(count)]
    if not count.exact:
        lines += ["", _stopped(options, count)]
    if options.plot:
        _draw(options, network, lower, upper)
        lines.append(f"picture: {options.plot}")
    return Outcome("\n".join(lines), data, DONE if count.exact else NOT_PROVEN)


def _stopped(options, count):
    """What a count that is none amounts to, and how to get further."""
    known = f"at least {counted(count.lower_bound, 'region')}"
    if count.method == "sampling":
        return f"{known}: points do not show them all. Use --method lp or geometry."
    limits = f"--max-regions {options.max_regions}"
    if options.time_limit is not None:
        limits += f" or --time-limit {options.time_limit:g}"
    elif len(count.regions) < options.max_regions and count.method == "lp":
        return f"{known}: some are too thin to be counted for sure."
    return f"{known}: stopped by {limits}. Raise it to go on."


def _check_plot(options, network, lower, upper):
    varying = int((lower < upper).sum())
    if network.n_inputs != 2 or varying != 2:
        raise ModelError(
            f"{network.name}: --plot draws networks of two inputs that vary, and here "
            f"{varying} of {network.n_inputs} do. Leave --plot out."
        )
    read_output(options, network)
    check_target("--plot", options.plot, options.force)
    # before the counting, which may take long
    from matplotlib.backend_bases import FigureCanvasBase

    from pyomo_relu import plot  # noqa: F401

    known = FigureCanvasBase.get_supported_filetypes()
    ending = os.path.splitext(options.plot)[1].removeprefix(".").lower()
    if ending not in known:  # without one matplotlib would write to another name
        raise ModelError(
            f"{options.plot}: a picture's name says its kind. End it in .png, .pdf or "
            f".svg; there are also {', '.join(sorted(known))}."
        )


def _draw(options, network, lower, upper):
    import matplotlib

    matplotlib.use("Agg")

    from pyomo_relu import plot

    axes = plot.regions(
        network,
        lower,
        upper,
        output=read_output(options, network),
        max_regions=options.max_regions,
    )
    with writing(options.plot):
        axes.figure.savefig(options.plot, dpi=150)
