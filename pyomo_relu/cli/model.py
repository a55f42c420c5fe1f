"""The Pyomo model behind the commands: one output over a box, inputs fixed, ranges kept."""

from pyomo_relu.cli.arguments import (
    Positioned,
    check_position,
    read_box,
    read_output,
)
from pyomo_relu.errors import BoundsError


def add_restrictions(parser):
    """``--fix`` and ``--within``."""
    parser.add_argument(
        "--fix",
        nargs=2,
        action=Positioned,
        metavar=("J", "VALUE"),
        help="fix input J, from 0; may be repeated",
    )
    parser.add_argument(
        "--within",
        nargs=3,
        action=Positioned,
        metavar=("K", "LO", "HI"),
        help="keep output K within a range (-inf and inf for none); may be repeated",
    )


def build(options, network, maximise=False):
    """The model, its output's number, and the box with what is fixed.

    Returns
    -------
    m : ConcreteModel
        With Vars ``x``, the block ``nn``, rows ``within`` and the objective ``goal``.
    output : int
    lower, upper : numpy.ndarray, shape (n_inputs,)

    Raises
    ------
    BoundsError, ModelError
        If a position does not exist, or a value is outside of its box or no number.
    """
    import math

    import pyomo.environ as pyo

    from pyomo_relu.block import ReLUNetworkBlock

    lower, upper = (end.copy() for end in read_box(options, network))
    output = read_output(options, network)
    m = pyo.ConcreteModel("network")
    for j, value in options.fix or ():
        check_position("input", j, network.n_inputs, network)
        if not lower[j] <= value <= upper[j]:
            raise BoundsError(
                f"{network.name}: --fix {j} {value:g} is outside of the input's box "
                f"[{lower[j]:g}, {upper[j]:g}]. Give a value within, or another --box."
            )
        lower[j] = upper[j] = value
    m.x = pyo.Var(
        range(network.n_inputs),
        bounds=lambda m, j: (float(lower[j]), float(upper[j])),
    )
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x[j] for j in m.x])
    outputs = m.nn.output_vars()
    m.within = pyo.ConstraintList()
    for k, least, most in options.within or ():
        check_position("output", k, network.n_outputs, network)
        if not least <= most or math.inf in (least, -most):
            raise BoundsError(
                f"{network.name}: --within {k} {least:g} {most:g} is no range. Give "
                "the smaller end first."
            )
        for end, row in ((least, outputs[k] >= least), (most, outputs[k] <= most)):
            if math.isfinite(end):
                m.within.add(row)
    sense = pyo.maximize if maximise else pyo.minimize
    m.goal = pyo.Objective(expr=outputs[output], sense=sense)
    return m, output, lower, upper
