"""What weight decay leaves of dead neurons: weights of 1e-9, ranges below tolerances.

A column narrower than 1e-6 is fixed by HiGHS; its row, divided by such weights, then
restricts the inputs, and models that have a point are called infeasible.
"""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from tests.networks import dying_network
from tests.transform.battery import BY_NAME


@pytest.mark.parametrize("tightening", ["relu.bounds", "relu.obbt"])
@pytest.mark.parametrize("formulation", BY_NAME)
def test_no_var_is_narrower_than_solvers_resolve(formulation, tightening):
    network = dying_network(np.random.default_rng(1))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.y])
    m.cost = pyo.Objective(expr=m.y)
    if not formulation.own_bounds:
        pyo.TransformationFactory(tightening).apply_to(m)
    formulation.apply(m)
    bounds = [
        (var.name, *var.bounds)
        for var in m.component_data_objects(pyo.Var, descend_into=True)
        if not var.fixed and None not in var.bounds
    ]
    assert len(bounds) > 10
    assert [b for b in bounds if 0.0 < b[2] - b[1] <= 1e-6] == []
