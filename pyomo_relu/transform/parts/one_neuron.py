"""A network of one neuron, and the rows that a formulation writes for it, as text."""

import re

from pyomo.core.base import (
    ConcreteModel,
    Constraint,
    Objective,
    SOSConstraint,
    TransformationFactory,
)
from pyomo.core.base.block import Block
from pyomo.gdp import Disjunct

from pyomo_relu.block.block import ReLUNetworkBlock
from pyomo_relu.network import Network


def one_neuron(n_inputs=2):
    """A model of ``y = max(0, v)``, v in [-2, 4], over the box ``-1 <= x <= 1``.

    ``v = x0 + 2 x1 + 1``; with one input ``v = 4 x0 + 2`` in [-2, 6].
    """
    weights, bias = ([[1.0, 2.0]], [1.0]) if n_inputs == 2 else ([[4.0]], [2.0])
    network = Network.sequential([weights, [[1.0]]], [bias, [0.0]])
    m = ConcreteModel("one neuron")
    m.nn = ReLUNetworkBlock(network=network)
    for x in m.nn.input_vars():
        x.setlb(-1)
        x.setub(1)
    m.cost = Objective(expr=m.nn.outputs[0])
    return m


def show_rows(name, n_inputs=2, **options):
    """Print what a formulation adds to ``one_neuron``: label and row."""
    m = one_neuron(n_inputs)
    TransformationFactory(name).apply_to(m, **options)
    new = m.nn.record.encoding.reformulation
    for row in new.component_data_objects(
        (Constraint, SOSConstraint), active=True, descend_into=(Block, Disjunct)
    ):
        if row.ctype is SOSConstraint:
            text = f"SOS{row.level}{{{', '.join(v.name for v in row.variables)}}}"
        else:
            text = str(row.expr)
        print(f"{_short(row.name, new)}: {_short(text, new)}")


def _short(text, new):
    text = text.replace(f"{new.name}.", "").replace("nn.", "")
    text = re.sub(r"^rows\[0,0,([\w,]+)\]", r"\1", text)
    text = re.sub(
        r"\b(pre|post|\w*indicator|below_zero|scaled_\w+)\[0,0\]", r"\1", text
    )
    text = re.sub(r"\d+\.\d+(e-\d+)?", lambda n: f"{float(n[0]):.6g}", text)
    text = re.sub(r" [-+] 0\*\w+(\[[\d,]+\])?", "", text)
    return re.sub(r"-0$", "0", text)
