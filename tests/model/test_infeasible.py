"""Infeasible models: the rows, bounds and networks that contradict each other are named."""

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy import sparse

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import tighten
from pyomo_relu.bounds.infeasibility import infeasible_subset
from pyomo_relu.bounds.relaxation.model import EmbeddedNetwork
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.model.contradiction import contradiction
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.search import find_point
from tests.networks import chain
from tests.truth import solve


def plant(network=None):
    """A feasible model with rows that have nothing to do with any contradiction."""
    m = pyo.ConcreteModel("plant")
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y, m.w = pyo.Var(), pyo.Var(bounds=(0, 10))
    m.k, m.b = pyo.Var(domain=pyo.Integers, bounds=(0, 5)), pyo.Var(domain=pyo.Binary)
    m.nn = ReLUNetworkBlock(
        network=network or chain([2, 6, 1]), inputs=m.x, outputs=[m.y]
    )
    m.objective = pyo.Objective(expr=m.y + m.w + m.k + m.b, sense=pyo.maximize)
    m.fine = pyo.Constraint([0, 1, 2], rule=lambda m, i: m.x[0] + i * m.w <= 50)
    return m


def _demand(m):
    m.demand = pyo.Constraint(expr=m.y >= 100)


def _two_rows(m):
    m.low = pyo.Constraint(expr=m.w + m.x[0] >= 8)
    m.high = pyo.Constraint(expr=m.w - m.x[1] <= 4)


def _bound(m):
    m.y.setlb(50)


def _three_rows(m):
    m.one = pyo.Constraint(expr=2 * m.b + m.w >= 0.9)
    m.two = pyo.Constraint(expr=2 * m.b <= 1.5)
    m.three = pyo.Constraint(expr=m.w <= 0.5)


def _integers(m):
    m.parity = pyo.Constraint(expr=2 * m.k == 4 * m.b + 1)


def _relaxation(m):
    m.tight = pyo.Constraint(expr=m.y >= 1e-4)


#: {what is added: (constraints and others that must be named, networks needed)}
CASES = {
    _demand: (["'demand'", "network 'nn'"], True),
    _bound: (["50 <= y", "network 'nn'"], True),
    _relaxation: (["'tight'", "network 'nn'"], True),
    _two_rows: (["'low'", "'high'"], False),
    _three_rows: (["'one'", "'two'", "'three'"], False),
    _integers: (["'parity'"], False),
}
cases = pytest.mark.parametrize("change", CASES, ids=lambda c: c.__name__)


def check(text, change):
    named, networks = CASES[change]
    assert all(name in text for name in named), text
    assert "fine" not in text
    assert ("even without the networks" in text) != networks


@cases
def test_whole_model_bounds(change):
    m = plant()
    change(m)
    t = pyo.TransformationFactory("relu.obbt")
    with pytest.raises(InfeasibleError) as caught:
        t.apply_to(m, scope="model")
    check(str(caught.value), change)


@cases
def test_search(change):
    m = plant()
    change(m)
    if change is _relaxation:  # no contradiction that a search would find
        assert not find_point(m, max_rounds=1, time_limit=None).found
        return
    with pytest.raises(InfeasibleError) as caught:
        find_point(m)
    check(str(caught.value), change)


@cases
def test_branch_and_bound(change, caplog, capsys):
    m = plant()
    change(m)
    results = pyo.SolverFactory("relu.branch").solve(m, tee=True)
    assert results.solver.termination_condition == "infeasible"
    for text in (results.solver.message, caplog.text, capsys.readouterr().out):
        check(" ".join(text.split()), change)


def test_what_only_branching_proves(monkeypatch):
    """Rows that no relaxation of the whole box contradicts."""
    # whether they are found is not to depend on how busy the machine is
    monkeypatch.setattr("pyomo_relu.model.contradiction.SECONDS", 1e4)
    m = plant(chain([2, 8, 8, 1], seed=4))
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    for var in (m.w, m.k, m.b):
        var.fix(0)
    most = solve(m)
    m = plant(chain([2, 8, 8, 1], seed=4))
    m.low = pyo.Constraint(expr=m.y >= most + 0.02 * abs(most))
    results = pyo.SolverFactory("relu.branch").solve(m, milp_neurons=0)
    message = results.solver.message
    assert results.solver.statistics.branch_and_bound.number_of_bounded_subproblems > 1
    assert "'low'" in message and "'nn'" in message and "fine" not in message


def test_objective_cutoff():
    m = plant()
    with pytest.raises(InfeasibleError, match=r"\(the objective cutoff\)"):
        pyo.TransformationFactory("relu.obbt").apply_to(
            m, scope="model", objective_cutoff=1e4
        )


def test_proven_bounds_are_not_given_out_for_the_modellers():
    m = plant()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.y.setub(None)
    m.demand = pyo.Constraint(expr=m.nn.outputs[0] >= 100)
    with pytest.raises(InfeasibleError, match="network 'nn'"):
        find_point(m)


def test_subsets_are_infeasible_and_minimal():
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(30):
        A = rng.integers(-3, 4, (12, 4)).astype(float)
        low = rng.normal(1.0, 1.0, 12)
        model = LinearModel(
            sparse.csr_array(A), low, low + 0.5, np.full(4, -2.0), np.full(4, 2.0)
        )
        subset = infeasible_subset(model, seconds=1e6)
        if subset is None:
            continue
        found += 1
        assert subset.minimal and not subset.networks

        def part(rows, columns, model=model):
            free = np.ones(4, dtype=bool)
            free[columns] = False
            return model.replace(
                matrix=model.matrix[rows],
                row_lower=model.row_lower[rows],
                row_upper=model.row_upper[rows],
                lower=np.where(free, -np.inf, model.lower),
                upper=np.where(free, np.inf, model.upper),
            )

        rows, columns = subset.rows, subset.columns
        assert infeasible_subset(part(rows, columns), seconds=1e6) is not None, seed
        for i in rows:
            less = [r for r in rows if r != i]
            assert infeasible_subset(part(less, columns), seconds=1e6) is None, seed
    assert found > 15


def test_only_the_networks_that_take_part():
    networks = [
        EmbeddedNetwork(chain([1, 4, 1], seed=k), [k], [2 + k], f"net{k}")
        for k in (0, 1)
    ]
    lower, upper = np.full(4, -1.0), np.full(4, 1.0)
    lower[3], upper[3] = 500.0, 600.0
    model = LinearModel(sparse.csr_array((0, 4)), [], [], lower, upper)
    subset = infeasible_subset(model, networks, seconds=1e6)
    assert subset.networks == [1] and subset.columns == [1, 3]


def test_without_time_nothing_is_claimed():
    m = plant()
    _demand(m)
    message = pyo.SolverFactory("relu.branch").solve(m, time_limit=0).solver.message
    assert message.startswith("infeasible")


@pytest.mark.parametrize("seed", range(3))
def test_what_only_splitting_proves_is_traced_to_the_row_and_the_network(seed):
    """Parts of the model are proven infeasible by the methods that proved the whole."""
    network = chain([2, 12, 12, 1], seed=seed)
    bounds, _ = tighten(network, -1, 1)
    m = plant(network)
    m.demand = pyo.Constraint(expr=m.y >= bounds.upper[-1][0] + 1e-3)
    with pytest.raises(InfeasibleError, match=r"'demand'.*network 'nn'"):
        pyo.TransformationFactory("relu.obbt").apply_to(m, scope="model")


def test_that_nothing_was_found_is_said():
    m = plant()
    _demand(m)
    with pytest.raises(InfeasibleError, match="was not found in"):
        pyo.TransformationFactory("relu.obbt").apply_to(
            m, scope="model", time_limit=1e-9
        )


def test_what_relaxations_do_not_show_is_not_blamed_on_time():
    m = plant()
    surrounding = read_surrounding(m, [m.nn])  # feasible: there is nothing to show
    assert "relaxations do not show it" in contradiction(surrounding)
    assert "not found in 0 seconds" in contradiction(surrounding, seconds=0.0)
