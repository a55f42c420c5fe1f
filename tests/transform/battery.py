"""What every formulation is put through: the list of formulations, models, snapshots.

A new formulation is tested by adding a line to ``FORMULATIONS``; the checks themselves
are in ``test_battery.py`` and ``test_battery_model.py``.
"""

import functools
import re
from dataclasses import dataclass, field

import numpy as np
import pyomo.environ as pyo
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.block.block import ReLUNetworkBlockData
from tests.networks import chain, residual
from tests.random_networks import random_network
from tests.truth import solve


@dataclass(frozen=True)
class Formulation:
    """A registered name with options, and what may be expected of it.

    Parameters
    ----------
    name : str
    options : dict
    solvers : tuple of str
        Paths that take what it builds; the first one is used where one is enough.
    tolerance : float
        Forward error at the solver's default tolerances, relative to the outputs.
    in_disjunct : tuple of str
        gdp transformations for Disjuncts that hold a network; others must fail loudly.
    own_bounds : bool
        It tightens the neurons' bounds itself.
    leaves_out : bool
        Some neurons have no rows at all.
    """

    name: str
    options: dict = field(default_factory=dict, hash=False)
    solvers: tuple = ("appsi_highs", "gurobi_direct")
    tolerance: float = 1e-5
    in_disjunct: tuple = ("gdp.bigm", "gdp.hull")
    own_bounds: bool = False
    leaves_out: bool = False

    def __str__(self):
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.options.items())])

    @property
    def transformation(self):
        """A new transformation object."""
        return pyo.TransformationFactory(self.name)

    def apply(self, model, **kwds):
        """Apply with this entry's options; the reverse token."""
        return self.transformation.apply_to(model, **self.options, **kwds)

    def solve(self, model):
        """Solve with the first solver; the optimum."""
        return solve(model, self.solvers[0], self.tolerance)


GUROBI = ("gurobi_direct",)

FORMULATIONS = [
    Formulation("relu.bigm"),
    Formulation("relu.clipped"),
    Formulation("relu.clipped", {"ceiling": 1e4}),
    Formulation("relu.scaled"),
    Formulation("relu.scaled", {"criterion": "unit"}),
    Formulation("relu.scaled", {"criterion": "max", "rounding": False}),
    Formulation("relu.partition"),
    Formulation("relu.partition", {"n_parts": "hull"}),
    # cells within the integrality tolerance of 1e-5 move outputs by that share of
    # their range
    Formulation("relu.cells", {"max_cells": 16}, tolerance=5e-5, own_bounds=True),
    Formulation(
        "relu.cells",
        {"max_cells": 16, "guided": False, "scope": "model"},
        tolerance=5e-5,
        own_bounds=True,
    ),
    Formulation("relu.reduce", leaves_out=True),
    Formulation("relu.cuts"),
    Formulation("relu.auto", tolerance=5e-5, own_bounds=True),
    Formulation("relu.gdp"),
    Formulation("relu.gdp", {"gdp_transformation": "gdp.hull"}),
    Formulation("relu.sos1", solvers=GUROBI, in_disjunct=()),
    # Products of two numbers below 1e-6 leave each factor at 1e-3.
    Formulation(
        "relu.complementarity",
        solvers=GUROBI,
        tolerance=5e-3,
        in_disjunct=("gdp.bigm",),
    ),
]

#: One entry per formulation name, for checks that do not depend on options.
BY_NAME = list({f.name: f for f in reversed(FORMULATIONS)}.values())[::-1]


def networks():
    """{name: Network}: small networks of every shape, with two or three inputs."""
    return {
        "chain": chain([2, 7, 6, 1], seed=4),
        "three inputs, two outputs": chain([3, 6, 6, 2], seed=5),
        "clipped": chain([2, 6, 6, 1], seed=6, ceilings=[0.8, [0.4, np.inf] * 3]),
        "residual, leaky, clipped": residual(1),
        "any source": random_network(
            7, 2, (5, 4, 3), residual=True, pre=True, clipped=True, sparse_weights=True
        ),
    }


def box_model(network=None, sense=pyo.minimize, half_width=1.0):
    """One network over a box, its first output (or their sum) as the objective."""
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network or chain([2, 6, 6, 1]))
    for var in m.nn.input_vars():
        var.setlb(-half_width)
        var.setub(half_width)
    m.objective = pyo.Objective(expr=sum(m.nn.output_vars()), sense=sense)
    return m


@functools.cache
def big_m_optimum(name, sense):
    """(optimum, LP bound) of ``relu.bigm`` for one of ``networks()``."""
    m = box_model(networks()[name], sense)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    return solve(m), lp_bound(m)


def lp_bound(model):
    """Optimum of the continuous relaxation, sets and products left out."""
    m = model.clone()
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(m)
    for sets in m.component_objects(pyo.SOSConstraint):
        sets.deactivate()
    for row in m.component_data_objects(pyo.Constraint, active=True):
        if row.body.polynomial_degree() != 1:
            row.deactivate()
    pyo.SolverFactory("appsi_highs").solve(m)
    return pyo.value(m.objective)


def linked_model(n=2):
    """Several networks (an indexed block and a scalar one) linked by a row."""
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(0, n - 1)
    nets = {i: chain([2, 5, 1], seed=10 + i) for i in range(n)}
    m.stages = ReLUNetworkBlock(m.I, network=nets)
    m.last = ReLUNetworkBlock(network=residual(2))
    blocks = [*m.stages.values(), m.last]
    for block in blocks:
        for var in block.input_vars():
            var.setlb(-1)
            var.setub(1)
    m.link = pyo.Constraint(expr=sum(b.inputs[0] for b in blocks) >= 0.5)
    m.objective = pyo.Objective(expr=sum(b.outputs[0] for b in blocks))
    return m


def disjunct_model():
    """Either of two networks holds between the modeller's Vars."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.either = Disjunct([0, 1])
    for d, network in enumerate((chain([2, 5, 1], seed=20), residual(3))):
        m.either[d].nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.y])
    m.choice = Disjunction(expr=[m.either[0], m.either[1]])
    m.objective = pyo.Objective(expr=m.y + 0.1 * m.x[0])
    return m


def snapshot(model):
    """Everything that must come back when a formulation is reversed."""
    everything = [
        (c.name, c.ctype.__name__, getattr(c, "active", None))
        for c in model.component_objects(descend_into=(pyo.Block, Disjunct))
    ]
    variables = [
        (v.name, v.domain.name, v.lower, v.upper, v.fixed, v.value)
        for v in model.component_data_objects(
            pyo.Var, descend_into=(pyo.Block, Disjunct)
        )
    ]
    rows = [
        (c.name, c.active, str(c.expr))
        for c in model.component_data_objects(
            pyo.Constraint, descend_into=(pyo.Block, Disjunct)
        )
    ]
    encoded = [
        (b.name, b.record.encoding, b.record.bounds) for b in network_blocks(model)
    ]
    return everything, variables, rows, encoded


def network_blocks(model):
    """All network blocks, also on Disjuncts."""
    return [
        b
        for b in model.component_data_objects(
            pyo.Block, descend_into=(pyo.Block, Disjunct)
        )
        if isinstance(b, ReLUNetworkBlockData)
    ]


def violations(model, tolerance=1e-7):
    """Names of rows, sets, bounds and domains that the present values violate."""
    found = []
    for c in model.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(c.body)
        slack = tolerance * max(1.0, abs(body))
        if c.lb is not None and body < c.lb - slack:
            found.append(c.name)
        if c.ub is not None and body > c.ub + slack:
            found.append(c.name)
    for s in model.component_data_objects(pyo.SOSConstraint, active=True):
        if sum(abs(v.value) > tolerance for v in s.get_variables()) > 1:
            found.append(s.name)
    for v in model.component_data_objects(pyo.Var, descend_into=(pyo.Block, Disjunct)):
        if v.value is None:
            found.append(f"{v.name} has no value")
            continue
        slack = tolerance * max(1.0, abs(v.value))
        if v.lb is not None and v.value < v.lb - slack:
            found.append(f"{v.name} below its bound")
        if v.ub is not None and v.value > v.ub + slack:
            found.append(f"{v.name} above its bound")
        if v.is_integer() and v.value != round(v.value):
            found.append(f"{v.name} is fractional")
    return found


def row_texts(block):
    """{row's index: text} of what replaced the activation rows, to 12 digits."""
    new = block.record.encoding.reformulation
    prefix = f"{new.name}."
    return {
        index: re.sub(r"\d+\.\d+", _shortened, str(row.expr).replace(prefix, ""))
        for index, row in new.rows.items()
    }


def _shortened(number):
    return f"{float(number[0]):.12g}"


def row_numbers(block):
    """{row's index: (coefficients by variable, lower, upper)} for comparison."""
    new = block.record.encoding.reformulation
    prefix = f"{new.name}."
    numbers = {}
    for index, row in new.rows.items():
        expr = row.body
        terms = zip(expr.linear_vars, expr.linear_coefs, strict=True)
        names = {v.name.replace(prefix, ""): c for v, c in terms}
        numbers[index] = names, row.lb, row.ub
    return numbers


def samples(network, half_width=1.0, n=2000, seed=0):
    """Random points of the box."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-half_width, half_width, (n, network.n_inputs))
