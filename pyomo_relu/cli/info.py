"""``pyomo-relu info``: what is in a file, how it is read, what would be refused."""

from collections import Counter

from pyomo_relu.cli.arguments import (
    add_box,
    add_command,
    add_file,
    add_limits,
    has_box,
    path_of,
    read_box,
    read_network,
)
from pyomo_relu.cli.describe import box_data, box_text, headline, network_data
from pyomo_relu.cli.outcome import DONE, WRONG_INPUT, Outcome
from pyomo_relu.common.table import format_table
from pyomo_relu.errors import NetworkError, NetworkFileError

_TEXT = """\
Layers, operators and inputs of a network; with a box, stable neurons and big-M sizes.

Says what would be refused, and why. Bounds are those that need no solver (interval
arithmetic, CROWN, input splitting); "pyomo-relu bounds" has LPs and MILPs, too.
"""


def add(commands):
    """Declare the command."""
    parser = add_command(commands, "info", run, _TEXT)
    add_file(parser)
    add_box(parser)
    add_limits(parser)


def run(options):
    """Read the file, and bound its neurons where there is a box."""
    operators = _operators(path_of(options.file))
    data = {"operators": operators, "refused": [], "network": None, "box": None}
    data |= {"stability": None, "big_m": None}
    lines = []
    try:
        network = read_network(options)
    except NetworkFileError:
        raise
    except NetworkError as error:
        data["refused"] = [" ".join(str(error).split())]
        lines += _operator_lines(operators)
        lines += ["", *_refused_lines(data["refused"])]
        return Outcome("\n".join(lines), data, WRONG_INPUT)
    data["network"] = network_data(network)
    lines += [headline(network), "", _layers(data["network"])]
    lines += ["", *_operator_lines(operators)]
    if network.fixed_batch is not None:
        name, shape = network.fixed_batch
        data["refused"].append(
            f"a ReLUNetworkBlock: the file fixes its input '{name}' to a batch, "
            f"{tuple(shape)}. Export it with a batch of one or of any size."
        )
    lines += ["", *_refused_lines(data["refused"])]
    if has_box(options):
        lower, upper = read_box(options, network)
        records, seconds = _records(network, lower, upper, options.time_limit)
        stable, big_m = _reports(records)
        data["box"] = box_data(lower, upper)
        data["stability"] = {
            method: {**figures, "seconds": seconds[method]}
            for method, figures in stable.to_dict().items()
        }
        data["big_m"] = big_m.to_dict()
        lines += ["", f"stable neurons by method, {box_text(lower, upper)}"]
        lines += [_stable(data["stability"])]
        last = list(records)[-1]
        lines += ["", f"big-M sizes, max(|L|, |U|) of unstable neurons, by {last}"]
        lines += [_big_m(data["big_m"][last])]
    else:
        lines += ["", "For stable neurons and big-M sizes give --box LO HI."]
    return Outcome("\n".join(lines), data, DONE)


def _operators(path):
    """How often each operator occurs in the file's main graph, and if it is read."""
    from pyomo_relu.network.onnx.file.file import open_model
    from pyomo_relu.network.onnx.reader import (  # noqa: F401  (fills the table)
        load_onnx,
    )
    from pyomo_relu.network.onnx.registry import lookup

    model = open_model(path).model
    functions = {(f.domain, f.name) for f in model.functions}
    counts = Counter((node.domain, node.op_type) for node in model.graph.node)
    return [
        {
            "domain": domain,
            "operator": operator,
            "nodes": count,
            "reader": (domain, operator) in functions
            or lookup(operator, domain) is not None,
        }
        for (domain, operator), count in sorted(counts.items())
    ]


def _operator_lines(operators):
    names = [
        f"{o['nodes']} {o['domain'] + '.' if o['domain'] else ''}{o['operator']}"
        for o in operators
    ]
    lines = [f"operators: {', '.join(names) or 'none'}"]
    unread = [o["operator"] for o in operators if not o["reader"]]
    if unread:
        lines.append(
            f"on constants, shapes and conditions only: {', '.join(unread)} "
            "(anywhere else they are refused)"
        )
    return lines


def _refused_lines(refused):
    if not refused:
        return ["refused: nothing; read and compared with onnxruntime"]
    return [f"refused: {reason}" for reason in refused]


def _layers(data):
    rows = [
        [
            la["layer"],
            la["name"],
            la["activation"],
            la["size"],
            la["weights"],
            ", ".join(la["reads"]),
        ]
        for la in data["layers"]
    ]
    names = [f"{t['name']} {tuple(t['shape'])}" for t in data["inputs"]]
    ends = [f"{t['name']} {tuple(t['shape'])}" for t in data["outputs"]]
    table = format_table(
        ["layer", "name", "activation", "size", "weights", "reads"], rows, left=3
    )
    return f"{table}\ninputs: {', '.join(names)}; outputs: {', '.join(ends)}"


def _records(network, lower, upper, time_limit):
    """Bounds by method, each on top of those before, and the seconds it took."""
    from pyomo_relu.bounds import tighten
    from pyomo_relu.bounds.methods import BY_SOLVER, METHODS
    from pyomo_relu.common.deadline import Deadline

    deadline = Deadline(time_limit)
    records, seconds, bounds = {}, {}, None
    for method in (m for m in METHODS if m not in BY_SOLVER):
        bounds, statistics = tighten(
            network,
            lower,
            upper,
            methods=[method],
            start=bounds,
            time_limit=None if time_limit is None else max(deadline.left(), 0.0),
        )
        records[method], seconds[method] = bounds, statistics.seconds
    return records, seconds


def _reports(records):
    from pyomo_relu.analysis import big_m_statistics, stability

    return stability(records), big_m_statistics(records)


def _stable(stability):
    rows = [
        [name, f["stable"], f["unstable"], f"{f['share']:.0%}", round(f["seconds"], 4)]
        for name, f in stability.items()
    ]
    return format_table(["method", "stable", "unstable", "share", "seconds"], rows)


def _big_m(layers):
    names = ["layer", "size", "unstable", "mean", "max", "mean_width"]
    rows = [[layer[name] for name in names] for layer in layers]
    return format_table(
        ["layer", "size", "unstable", "mean M", "max M", "mean width"], rows
    )
