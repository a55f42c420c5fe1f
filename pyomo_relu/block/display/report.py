"""What a network block says about itself: its summary, as text and as HTML."""

from pyomo_relu.block.arguments.expressions import expressions_text
from pyomo_relu.common.html import MOST_ROWS, table_html
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, ReLUError


def summary_text(block):
    """One screen of text: network, sizes, bounds in force, formulation.

    Parameters
    ----------
    block : ReLUNetworkBlockData

    Returns
    -------
    str
    """
    lines = [_head(block), *_remarks(block)]
    try:
        rows = _layer_rows(block)
    except BoundsError as error:
        return "\n".join([*lines, f"bounds: none ({error})"])
    lines.append(
        f"{'layer':>5} {'neurons':>8} {'stable':>7} "
        f"{'mean width':>11} {'largest M':>10}  sources"
    )
    for layer, size, stable, width, largest, sources in rows:
        lines.append(
            f"{layer:>5} {size:>8} {stable:>7} {width:>11.4g} {largest:>10.4g}  "
            f"{sources}"
        )
    return "\n".join(lines)


def summary_html(block):
    """The same for a notebook; a block that cannot be described says why.

    Parameters
    ----------
    block : ReLUNetworkBlockData

    Returns
    -------
    str
    """
    from pyomo_relu.bounds.layer_table import LAYER_HEADER

    try:
        caption, notes = _head(block), _remarks(block)
        return table_html(LAYER_HEADER, _layer_rows(block), caption, notes=notes)
    except BoundsError as error:
        notes = [*_remarks(block), f"bounds: none ({error})"]
        return table_html((), (), _head(block), notes=notes)
    except ReLUError as error:
        return table_html((), (), block.name, notes=[str(error)])


def members_html(container):
    """An indexed block for a notebook: one row per member.

    Parameters
    ----------
    container : IndexedReLUNetworkBlock

    Returns
    -------
    str
    """
    members = list(container.values())
    caption = f"{container.name}: {counted(len(members), 'network block')}"
    header = "member", "network", "formulation", "neurons", "stable"
    rows = [_member_row(member) for member in members[:MOST_ROWS]]
    more = len(members) - len(rows)
    notes = [f"... and {more} more"] if more else []
    return table_html(header, rows, caption, 3, notes)


def _member_row(member):
    encoding = member.record.encoding
    try:
        stable = member.neuron_bounds().n_stable
    except ReLUError:
        stable = None
    return (
        member.name,
        member.network.name,
        "none" if encoding is None else encoding.formulation.NAME,
        member.network.n_neurons,
        stable,
    )


def _head(block):
    network = block.network
    return (
        f"{block.name}: {counted(network.n_inputs, 'input')}, "
        f"{counted(network.n_outputs, 'output')}, "
        f"{counted(network.n_neurons, 'neuron')} in "
        f"{counted(len(network.layers) - 1, 'layer')} ({network.name})"
    )


def _remarks(block):
    """Formulation, why it was chosen, accuracy, and inputs that are expressions."""
    encoding = block.record.encoding
    if encoding is None:
        lines = ["formulation: none (exact nonlinear rows)"]
    else:
        lines = [f"formulation: {encoding.description()}"]
        if encoding.choice is not None:
            lines.append(encoding.choice)
        if encoding.leak is not None:
            lines.append(f"accuracy: {encoding.leak}")
    expressions = expressions_text(block)
    return lines if expressions is None else [*lines, expressions]


def _layer_rows(block):
    from pyomo_relu.bounds.layer_table import layer_rows  # numpy on first use

    return layer_rows(block.neuron_bounds())
