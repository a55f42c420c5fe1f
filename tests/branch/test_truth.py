"""relu.branch against relu.bigm with a MILP solver, on random models of every shape."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.network import Network
from tests.random_networks import random_network

TOLERANCE = 2e-4


def _block(m, name, rng, n_inputs, n_outputs=1, inputs=None, widths=None, **flags):
    network = random_network(
        rng,
        n_inputs,
        widths or [int(w) for w in rng.integers(3, 8, 2)],
        n_outputs,
        **flags,
    )
    m.add_component(name, ReLUNetworkBlock(network=network, inputs=inputs))
    return m.component(name)


def _flags(rng):
    return {
        name: bool(rng.random() < 0.4)
        for name in ("residual", "pre", "clipped", "sparse_weights")
    }


def one_network(rng):
    """A linear function of inputs and outputs over one network and some rows."""
    m = pyo.ConcreteModel()
    n, k = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    m.x = pyo.Var(range(n), bounds=(-1.5, 1))
    nn = _block(m, "nn", rng, n, k, m.x, **_flags(rng))
    columns = [*m.x.values(), *nn.outputs.values()]
    m.rows = pyo.ConstraintList()
    for _ in range(int(rng.integers(0, 3))):
        a = rng.normal(size=len(columns)).round(2)
        m.rows.add(
            sum(c * v for c, v in zip(a, columns, strict=True))
            <= rng.uniform(-0.3, 1.0)
        )
    a = rng.normal(size=len(columns)).round(2)
    sense = pyo.minimize if rng.random() < 0.5 else pyo.maximize
    m.obj = pyo.Objective(
        expr=sum(c * v for c, v in zip(a, columns, strict=True)), sense=sense
    )
    return m


def mixed_integer(rng):
    """Integer inputs, integer and continuous Vars outside, an equality row."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-3, 3))
    m.x[0].domain = pyo.Integers
    m.z = pyo.Var(range(2), domain=pyo.Integers, bounds=(-2, 2))
    m.s = pyo.Var(bounds=(0, None))
    nn = _block(m, "nn", rng, 3, 2, m.x, **_flags(rng))
    m.link = pyo.Constraint(expr=m.x[1] + m.z[0] == 0.5 * m.z[1] + 0.3)
    m.margin = pyo.Constraint(expr=m.s >= nn.outputs[1] - 0.4 * m.z[0])
    m.use = pyo.Constraint(expr=nn.outputs[0] + m.z[1] >= -0.5)
    m.obj = pyo.Objective(expr=m.s + 0.3 * m.z[0] - nn.outputs[0] + 0.2 * m.x[2])
    return m


def several_networks(rng):
    """Three networks with a common resource; the third reads the first's output."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    first = _block(m, "first", rng, 2, 1, [m.x[0], m.x[1]], **_flags(rng))
    second = _block(m, "second", rng, 2, 2, [m.x[1], m.x[2]], **_flags(rng))
    third = _block(m, "third", rng, 2, 1, [first.outputs[0], m.x[2]], **_flags(rng))
    m.budget = pyo.Constraint(
        expr=first.outputs[0] + second.outputs[0] + sum(m.x.values()) <= 0.6
    )
    m.level = pyo.Constraint(expr=(-1, second.outputs[1] - third.outputs[0], 0.8))
    m.obj = pyo.Objective(
        expr=third.outputs[0] + second.outputs[0] - 0.5 * first.outputs[0],
        sense=pyo.maximize,
    )
    return m


def output_equality(rng):
    """An output is given; the inputs that reach it are wanted."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-2, 2))
    nn = _block(m, "nn", rng, 2, 1, m.x, **_flags(rng))
    y = nn.network.forward(np.array([[0.3, -0.4], [1.0, 1.5]]))
    m.level = pyo.Constraint(expr=nn.outputs[0] == float(y.mean()))
    m.obj = pyo.Objective(expr=m.x[0] - 0.4 * m.x[1])
    return m


def shared_output_var(rng):
    """Two networks write the same Var, which is bounded; one reads an integer one."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-0.8, 0.8))
    m.k = pyo.Var(domain=pyo.Integers, bounds=(-4, 4))
    for name in ("a", "b"):
        network = random_network(rng, 1, (5, 4), 1)
        m.add_component(
            name,
            ReLUNetworkBlock(
                network=network, inputs=[m.x["ab".index(name)]], outputs=[m.y]
            ),
        )
    network = random_network(rng, 2, (6,), 1, scale=3.0)
    m.c = ReLUNetworkBlock(network=network, inputs=m.x, outputs=[m.k])
    m.obj = pyo.Objective(expr=m.y + 0.1 * m.k + 0.05 * m.x[0])
    return m


def hidden_neurons(rng):
    """Rows and bounds on Vars inside the block."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-2, 2))
    nn = _block(m, "nn", rng, 2, 1, m.x, widths=(5, 5))
    middle = nn.network.propagate(np.array([[0.4, 0.2]]))[0]
    m.row = pyo.Constraint(expr=nn.pre[0, 1] + nn.post[1, 2] <= float(middle[0][0, 1]))
    nn.pre[1, 0].setub(float(middle[1][0, 0]))
    m.obj = pyo.Objective(expr=nn.outputs[0] - 0.1 * m.x[0])
    return m


def routing(rng, sources=3):
    """Which source feeds which sink: curves, big-M rows, sums and fixed outputs."""
    rng = np.random.default_rng(rng)
    m = pyo.ConcreteModel()
    m.i, m.j = pyo.RangeSet(0, sources - 1), pyo.RangeSet(0, 1)
    m.pressure, m.level = (pyo.Var(s, bounds=(0, 1)) for s in (m.i, m.j))
    m.rate = pyo.Var(m.i, bounds=(0, 1))
    m.open = pyo.Var(m.i, m.j, domain=pyo.Binary)
    m.routed = pyo.Var(m.i, m.j, bounds=(0, 1))
    m.flow = pyo.Var(m.j, range(2), bounds=(0, sources))
    curves = [_falling_curve(rng) for _ in m.i]
    sinks = [random_network(rng, 3, (5, 4), 1) for _ in m.j]
    m.source = ReLUNetworkBlock(
        m.i,
        network=lambda i: curves[i],
        inputs=lambda i: [m.pressure[i]],
        outputs=lambda i: [m.rate[i]],
    )
    m.sink = ReLUNetworkBlock(
        m.j,
        network=lambda j: sinks[j],
        inputs=lambda j: [m.flow[j, 0], m.flow[j, 1], m.level[j]],
    )
    share = rng.uniform(0.5, 1.5, sources)
    m.one = pyo.Constraint(m.i, rule=lambda m, i: sum(m.open[i, :]) <= 1)
    m.split = pyo.Constraint(m.i, rule=lambda m, i: m.rate[i] == sum(m.routed[i, :]))
    m.switch = pyo.Constraint(
        m.i, m.j, rule=lambda m, i, j: m.routed[i, j] <= m.open[i, j]
    )
    m.choke = pyo.Constraint(
        m.i,
        m.j,
        rule=lambda m, i, j: m.level[j] - m.pressure[i] <= 1 - m.open[i, j],
    )
    m.total = pyo.Constraint(m.j, rule=lambda m, j: m.flow[j, 0] == sum(m.routed[:, j]))
    m.mixed = pyo.Constraint(
        m.j,
        rule=lambda m, j: (
            m.flow[j, 1] == sum(float(share[i]) * m.routed[i, j] for i in m.i)
        ),
    )
    # a point with given sinks and all chokes open is feasible
    sink, level = rng.integers(0, 2, sources), rng.uniform(0.2, 0.8, 2)
    rates = [float(c.forward([level[k]])[0]) for c, k in zip(curves, sink, strict=True)]
    flows = [
        [sum(r * w[i] for i, r in enumerate(rates) if sink[i] == j) for j in m.j]
        for w in (np.ones(sources), share)
    ]
    outputs = [
        float(sinks[j].forward([flows[0][j], flows[1][j], level[j]])[0]) for j in m.j
    ]
    m.given = pyo.Constraint(m.j, rule=lambda m, j: m.sink[j].outputs[0] == outputs[j])
    m.obj = pyo.Objective(expr=sum(m.flow[:, 0]), sense=pyo.maximize)
    return m


def _falling_curve(rng):
    """A concave falling function on [0, 1] with values in [0, 1]."""
    steps = rng.dirichlet(np.ones(5)) * rng.uniform(0.5, 0.9)
    kinks = np.append(0.0, np.sort(rng.uniform(0, 0.9, 4)))
    weights = [np.ones((5, 1)), -steps[None]]
    return Network.sequential(weights, [-kinks, np.array([rng.uniform(0.9, 1.0)])])


MODELS = [
    one_network,
    mixed_integer,
    several_networks,
    output_equality,
    shared_output_var,
    hidden_neurons,
    routing,
]


def reference(m):
    """Optimum by relu.bigm and HiGHS, or the termination condition."""
    m = m.clone()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    options = {"mip_rel_gap": 1e-7, "mip_abs_gap": 1e-8}
    solver = pyo.SolverFactory("appsi_highs")
    results = solver.solve(m, load_solutions=False, options=options)
    if results.solver.termination_condition != pyo.TerminationCondition.optimal:
        return "infeasible"
    m.solutions.load_from(results)
    return pyo.value(m.obj)


def check_solution(m):
    """Every row, bound and network of the model holds at the present values."""
    for row in m.component_data_objects(pyo.Constraint, active=True):
        if isinstance(row.parent_block(), type(m)):
            value = pyo.value(row.body)
            low, high = pyo.value(row.lower), pyo.value(row.upper)
            assert low is None or value >= low - 1e-5, row.name
            assert high is None or value <= high + 1e-5, row.name
    for var in m.component_data_objects(pyo.Var):
        if var.value is None:
            continue
        assert var.lb is None or var.value >= var.lb - 1e-5, var.name
        assert var.ub is None or var.value <= var.ub + 1e-5, var.name
        if not var.is_continuous():
            assert var.value == round(var.value)
    for block in m.component_data_objects(pyo.Block):
        if hasattr(block, "forward_error"):
            assert block.forward_error() <= 1e-5


@pytest.mark.covering(4)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("milp_neurons", [0, 30])
def test_same_optimum_as_bigm(make, seed, milp_neurons):
    m = make(np.random.default_rng(seed))
    expected = reference(m)
    results = pyo.SolverFactory("relu.branch").solve(m, milp_neurons=milp_neurons)
    condition = str(results.solver.termination_condition)
    if expected == "infeasible":
        assert condition == "infeasible"
        return
    assert condition == "optimal"
    value = pyo.value(m.obj)
    slack = TOLERANCE * max(1.0, abs(expected))
    assert value == pytest.approx(expected, abs=slack)
    # what is claimed to be proven and attained, up to both solvers' tolerances
    little = 1e-5 * max(1.0, abs(expected))
    assert results.problem.lower_bound <= expected + little
    assert results.problem.upper_bound >= expected - little
    ends = results.problem.lower_bound, results.problem.upper_bound
    assert ends[1] - ends[0] <= max(1.01e-6, 1.01e-4 * abs(value))
    check_solution(m)
