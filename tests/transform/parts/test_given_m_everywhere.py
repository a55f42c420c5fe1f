"""bigM, by argument and by Suffix, means the same to every formulation."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import TransformationError
from tests.networks import chain
from tests.truth import solve

T = pyo.TransformationFactory

#: Formulations, and options with which the last layers' neurons keep big-M rows.
FORMULATIONS = {
    "relu.bigm": {},
    "relu.clipped": {},
    "relu.partition": {},
    "relu.scaled": {},
    "relu.gdp": {},
    "relu.cuts": {},
    "relu.sos1": {},
    "relu.complementarity": {},
    "relu.reduce": {},
    "relu.cells": {"max_cells": 4},
    "relu.auto": {},
}


def model(n_inputs=2):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n_inputs), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([n_inputs, 4, 4, 1], 3), inputs=m.x)
    m.best = pyo.Objective(expr=m.nn.outputs[0])
    return m


def provable(m):
    """A neuron of the second layer and ends between IA's and the true ones."""
    network = m.nn.network
    loose = m.nn.neuron_bounds()
    T("relu.obbt").apply_to(m, tighten_var_bounds=False)
    tight = m.nn.neuron_bounds()
    m.nn.record.runs[-1].restore()
    gain = loose.upper[1] - tight.upper[1]
    gain[~loose.unstable(1)] = 0
    i = int(np.argmax(gain))
    assert gain[i] > 1e-3
    assert network is m.nn.network
    ends = float(tight.lower[1][i]) - 1e-3, float(tight.upper[1][i]) + 1e-3
    return (1, i), ends


def give(m, how, key, pair):
    row = m.nn.activation[key]
    if how == "argument":
        return {"bigM": {row: pair}}
    m.BigM = pyo.Suffix(direction=pyo.Suffix.LOCAL)
    m.BigM[row] = pair
    return {}


@pytest.mark.parametrize("how", ["argument", "suffix"])
@pytest.mark.parametrize("name", FORMULATIONS)
def test_a_value_that_cuts_off_is_refused(name, how):
    m = model()
    key, (low, high) = provable(m)
    kwds = give(m, how, key, (low, 0.5 * high))
    with pytest.raises(TransformationError, match=r"bigM: .*nn\.activation\[1,\d\]"):
        T(name).apply_to(m, **FORMULATIONS[name], **kwds)
    assert m.nn.record.encoding is None and not m.nn.record.runs


@pytest.mark.parametrize("how", ["argument", "suffix"])
@pytest.mark.parametrize("name", FORMULATIONS)
def test_a_value_that_holds_is_used(name, how):
    m = model()
    key, pair = provable(m)
    kwds = give(m, how, key, pair)
    T(name).apply_to(m, **FORMULATIONS[name], **kwds)
    ends = T("relu.bigm").get_M_value(m.nn.activation[key])
    if ends[0] is not None:
        assert pair[0] - 1e-6 <= ends[0] and ends[1] <= pair[1] + 1e-6
    if name in ("relu.sos1", "relu.complementarity"):
        return
    assert solve(m) == pytest.approx(reference(), abs=1e-4)


def reference():
    m = model()
    T("relu.bigm").apply_to(m)
    return solve(m)


def test_where_cells_took_the_value_from():
    """CROWN alone is tighter than the given value, or not; the source says which."""
    m = model()
    key, (low, high) = provable(m)
    row = m.nn.activation[key]
    T("relu.cells").apply_to(m, bigM={row: (low, high)}, max_cells=4)
    sources = [source for _, source, _ in T("relu.cells").get_M_value_src(row)]
    values = T("relu.cells").get_M_value(row)
    for source, value, given in zip(sources, values, (low, high), strict=True):
        assert (source == "argument") == (value == pytest.approx(given, rel=1e-12))


def test_auto_passes_the_argument_on():
    m = model(6)
    key, pair = provable(m)
    T("relu.auto").apply_to(m, bigM={m.nn.activation[key]: pair})
    assert m.nn.record.encoding.formulation.NAME == "relu.bigm"
    ends = T("relu.bigm").get_M_value(m.nn.activation[key])
    assert pair[0] - 1e-6 <= ends[0] and ends[1] <= pair[1] + 1e-6
