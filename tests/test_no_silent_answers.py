"""Answers that would look right and be wrong: each is right here, or refused.

Stale bounds, restricted neurons, mutable bounds, rounding, orders of reversal, and
mistakes that must meet an error of ours.
"""

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction
from pyomo.mpec import Complementarity, complements

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.errors import ReLUError
from pyomo_relu.search import find_point
from tests.networks import chain, two_two_one


def apply(name, model, **options):
    return pyo.TransformationFactory(name).apply_to(model, **options)


def peak(bounds=(-1, 1), own_outputs=True):
    """Maximise 2 relu(x0 + x1) - relu(x0 - x1): 4 on [-1, 1]^2, 12 on [-1, 3]^2."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=bounds)
    m.y = pyo.Var()
    outputs = None if own_outputs else m.y
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x, outputs=outputs)
    m.best = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def optimum_or_refusal(model):
    """The optimum, or None if forward_error() says that it cannot be trusted."""
    pyo.SolverFactory("appsi_highs").solve(model)
    try:
        assert model.nn.forward_error() < 1e-5
    except ReLUError:
        return None
    return pyo.value(model.best)


def widen(m):
    m.x.setub(3)


def rest_on_fixed(m):
    m.x[1].fix(0.0)


def unfix(m):
    m.x[1].unfix()


own_or_given = pytest.mark.parametrize("own", [True, False], ids=["own", "given"])


# -- Var bounds left by a bound method outlive the box that they were proven on ---------


@own_or_given
@pytest.mark.parametrize("method", ["relu.bounds", "relu.obbt"])
@pytest.mark.parametrize("formulation", ["relu.bigm", "relu.cells", "relu.sos1"])
def test_widened_box_is_not_cut_by_stale_var_bounds(own, method, formulation):
    m = peak(own_outputs=own)
    apply(method, m)
    widen(m)
    apply(formulation, m)
    pyo.SolverFactory("gurobi_direct").solve(m)
    assert pyo.value(m.best) == pytest.approx(12, abs=1e-4)


@own_or_given
def test_unfixed_input_is_not_cut_by_stale_var_bounds(own):
    m = peak(own_outputs=own)
    rest_on_fixed(m)
    apply("relu.bounds", m)
    unfix(m)
    apply("relu.bigm", m)
    assert optimum_or_refusal(m) == pytest.approx(4, abs=1e-5)


@own_or_given
def test_relaxed_constraint_leaves_no_stale_var_bounds(own):
    m = peak(own_outputs=own)
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    apply("relu.obbt", m, scope="model")
    m.c.deactivate()
    apply("relu.bigm", m)  # says that the recorded bounds are left out
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(4, abs=1e-5)


def test_other_objective_after_objective_cutoff():
    m = peak(own_outputs=False)
    apply("relu.obbt", m, scope="model", objective_cutoff=2.0)
    m.best.deactivate()
    m.worst = pyo.Objective(expr=m.y)
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.y) == pytest.approx(-2, abs=1e-5)


@pytest.mark.parametrize("how", ["branch", "find_point"])
def test_paths_without_encoding_ignore_stale_var_bounds(how):
    m = peak(own_outputs=False)
    apply("relu.bounds", m)
    widen(m)
    if how == "branch":
        pyo.SolverFactory("relu.branch").solve(m)
        found = pyo.value(m.best)
    else:
        found = find_point(m, time_limit=None).objective
    assert found == pytest.approx(12, abs=1e-3)


# -- conditions of whole-model bounds ---------------------------------------------------


@own_or_given
def test_removed_bound_voids_model_bounds(own):
    """A Var whose only bound was removed must not pass as unchanged."""
    m = peak(own_outputs=own)
    m.w = pyo.Var(bounds=(None, 0.5))
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= m.w)
    apply("relu.obbt", m, scope="model", tighten_var_bounds=False)
    m.w.setub(None)
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(4, abs=1e-5)


def test_unfixed_unbounded_output_voids_model_bounds():
    m = peak(own_outputs=False)
    m.y.fix(0.5)
    apply("relu.obbt", m, scope="model")
    m.y.unfix()
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(4, abs=1e-5)


def test_forward_error_after_void_model_bounds_were_left_out():
    """bigm did not use the void bounds, so its rows fit the model."""
    m = peak()
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    apply("relu.obbt", m, scope="model", tighten_var_bounds=False)
    m.c.deactivate()
    apply("relu.bigm", m)
    assert optimum_or_refusal(m) == pytest.approx(4, abs=1e-5)


def test_clone_of_sub_block_keeps_its_conditions():
    m = pyo.ConcreteModel()
    m.b = pyo.Block()
    m.b.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.b.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.b.x)
    m.b.c = pyo.Constraint(expr=m.b.x[0] + m.b.x[1] <= 0.3)
    apply("relu.obbt", m.b, scope="model")
    apply("relu.bigm", m.b)
    m.copy = m.b.clone()
    m.copy.nn.initialize([0.1, 0.1])
    assert m.copy.nn.forward_error() < 1e-9


# -- the modeller's mutable bounds ------------------------------------------------------


def test_mutable_bound_survives_tightening():
    """Only the lower bound of y is tightened; ``y <= p`` must stay ``y <= p``."""
    m = peak(own_outputs=False)
    m.p = pyo.Param(initialize=3, mutable=True)
    m.y.setub(m.p)
    apply("relu.bounds", m)
    m.p.value = 1
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(1, abs=1e-5)


def test_mutable_bound_raised_after_model_bounds():
    m = peak(own_outputs=False)
    m.p = pyo.Param(initialize=0.5, mutable=True)
    m.y.setub(m.p)
    apply("relu.obbt", m, scope="model")
    apply("relu.bigm", m)
    m.p.value = 3
    assert optimum_or_refusal(m) in (None, pytest.approx(3, abs=1e-5))


# -- reversing --------------------------------------------------------------------------


def test_bound_methods_reversed_in_the_wrong_order():
    m = peak()
    first, second = apply("relu.bounds", m), apply("relu.obbt", m)
    try:
        apply("relu.bounds", m, reverse=first)
    except ReLUError:
        apply("relu.obbt", m, reverse=second)
        apply("relu.bounds", m, reverse=first)
    else:
        apply("relu.obbt", m, reverse=second)
    assert m.nn.record.bounds is None and m.nn.record.statistics is None
    assert all(v.bounds == (None, None) for v in m.nn.pre.values())


def test_bound_token_used_twice():
    m = peak()
    token = apply("relu.bounds", m)
    apply("relu.bounds", m, reverse=token)
    apply("relu.obbt", m)
    with pytest.raises(ReLUError):
        apply("relu.bounds", m, reverse=token)
    assert m.nn.record.bounds is not None


def test_reversing_does_not_write_the_domain_into_the_bounds():
    m = peak()
    m.nn.outputs[0].domain = pyo.NonNegativeReals
    apply("relu.bigm", m, reverse=apply("relu.bigm", m))
    m.nn.outputs[0].domain = pyo.Reals
    assert m.nn.outputs[0].lb is None


# -- rounding -----------------------------------------------------------------------


def test_cells_of_the_model_survive_rounding():
    """y = relu(x) + (0.1 + 0.2) on [-1, 1] with y <= 0.3: all x <= 0 are feasible.

    The row is violated by 5e-17 there, which no solver minds; the cell may not go.
    """
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(None, 0.3))
    network = Network.sequential(
        [[[1.0], [-1.0]], [[1.0, 0.0]]], [[0.0, -0.5], [0.1 + 0.2]]
    )
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=m.y)
    m.best = pyo.Objective(expr=m.y + m.x[0])
    apply("relu.cells", m, scope="model")
    assert optimum_or_refusal(m) == pytest.approx(-0.7, abs=1e-5)


# -- neurons that an encoding leaves out ------------------------------------------------


@pytest.mark.parametrize("formulation", ["relu.reduce", "relu.cells"])
@pytest.mark.parametrize("place", ["model", "Disjunct"])
def test_network_that_reads_a_neuron_of_another(formulation, place):
    """w = relu(relu(x + 0.1)) = 0 at x = -0.5, whatever is done to the first network."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-1, 1))
    m.w = pyo.Var(bounds=(-9, 9))
    first = Network.sequential([[[1.0], [1.0]], [[1.0, 0.0]]], [[5.0, 0.1], [0.0]])
    m.nn = ReLUNetworkBlock(network=first, inputs=m.x)
    m.nn.post[0, 1].setub(2)
    second = Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    holder = m if place == "model" else Disjunct()
    if place == "Disjunct":
        m.on, m.off = holder, Disjunct()
        m.off.c = pyo.Constraint(expr=m.w == -5)
        m.either = Disjunction(expr=[m.on, m.off])
    holder.reader = ReLUNetworkBlock(
        network=second, inputs=[m.nn.post[0, 1]], outputs=[m.w]
    )
    m.c = pyo.Constraint(expr=m.x[0] == -0.5)
    m.best = pyo.Objective(expr=m.w, sense=pyo.maximize)
    try:
        apply(formulation, m, targets=m.nn)
    except ReLUError:
        return
    apply("relu.bigm", m)
    if place == "Disjunct":
        apply("gdp.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.w) == pytest.approx(0, abs=1e-6)


def nested(expr_of):
    """A model with a nested Disjunct that holds ``w <= expr_of(m)``."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.w = pyo.Var(bounds=(-9, 9))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x, outputs=m.y)
    m.outer, m.other = Disjunct(), Disjunct()
    m.outer.a, m.outer.b = Disjunct(), Disjunct()
    m.outer.a.c = pyo.Constraint(expr=m.w <= expr_of(m))
    m.outer.b.c = pyo.Constraint(expr=m.w <= -3)
    m.outer.either = Disjunction(expr=[m.outer.a, m.outer.b])
    m.other.c = pyo.Constraint(expr=m.w <= -5)
    m.either = Disjunction(expr=[m.outer, m.other])
    m.best = pyo.Objective(expr=0.1 * m.y - m.w)
    return m


def test_reduce_sees_neurons_read_in_nested_disjuncts():
    with pytest.raises(ReLUError):
        apply("relu.reduce", nested(lambda m: m.nn.post[0, 0]))


def test_drop_minimised_sees_outputs_read_in_nested_disjuncts():
    with pytest.raises(ReLUError):
        apply("relu.reduce", nested(lambda m: m.y), drop_minimised=True)


def test_drop_minimised_sees_outputs_read_in_mpec_complementarities():
    m = peak(own_outputs=False)
    m.best.deactivate()
    m.w = pyo.Var(bounds=(0, 9))
    m.cost = pyo.Objective(expr=0.1 * m.y - m.w)
    m.cc = Complementarity(expr=complements(m.w >= 0, m.y - m.w >= 0))
    with pytest.raises(ReLUError):
        apply("relu.reduce", m, drop_minimised=True)


# -- bare errors ------------------------------------------------------------------------


def without_activation():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    network = Network.sequential([[[1.0, 2.0]]], [[0.5]])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.best = pyo.Objective(expr=m.nn.outputs[0])
    return m


def test_branch_without_activation_layer():
    m = without_activation()
    pyo.SolverFactory("relu.branch").solve(m)
    assert pyo.value(m.best) == pytest.approx(-2.5, abs=1e-5)


def test_sample_mip_without_activation_layer():
    found = find_point(without_activation(), methods=("sample_mip",), max_rounds=1)
    assert found.objective == pytest.approx(-2.5, abs=1e-5)


@pytest.mark.parametrize("method", ["relu.bounds", "relu.obbt"])
def test_bounds_of_an_affine_network_of_zero_weights(method):
    """Sparse, no activation layer and no nonzeros: the split budget divides by zero."""
    from scipy import sparse

    from pyomo_relu import Layer
    from pyomo_relu.network import INPUT, Source

    layer = Layer(
        [Source(INPUT)], [sparse.csr_array((1, 2))], np.array([0.5]), "identity"
    )
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    network = Network([layer], [("x", (2,))], [("y", (1,))])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    apply(method, m)
    assert m.nn.neuron_bounds().upper[-1][0] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_with_one_var_given_as_two_inputs(seed):
    """Two entries of a row in one column: HiGHS refuses the relaxation."""
    values = []
    for formulation in ("relu.bigm", "relu.cuts"):
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=(-1, 1))
        inputs = [m.x[0], m.x[0], m.x[1]]
        m.nn = ReLUNetworkBlock(network=chain([3, 6, 1], seed), inputs=inputs)
        m.best = pyo.Objective(expr=m.nn.outputs[0])
        apply(formulation, m)
        values.append(optimum_or_refusal(m))
    assert values[1] == pytest.approx(values[0], abs=1e-4)


@pytest.mark.parametrize(
    "name", ["relu.cells", "relu.cuts", "relu.reduce", "relu.obbt", "relu.warmstart"]
)
@pytest.mark.parametrize("which", ["input", "other"])
def test_fixed_var_without_value_is_named(name, which):
    m = peak(own_outputs=False)
    m.z = pyo.Var()
    m.c = pyo.Constraint(expr=m.z + m.x[0] <= 1)
    var = m.x[0] if which == "input" else m.z
    var.fixed = True
    options = {"scope": "model"} if name == "relu.obbt" else {}
    with pytest.raises(ReLUError, match=r"x\[0\]|z"):
        apply(name, m, **options)


@pytest.mark.parametrize("x", ["ab", [None, 1.0], [float("nan"), 1.0]])
def test_initialize_refuses_what_is_no_number(x):
    m = peak()
    with pytest.raises(ReLUError):
        m.nn.initialize(x)


def test_start_that_is_no_point():
    with pytest.raises(ReLUError):
        apply("relu.warmstart", peak(), start=7, methods=())


def test_forward_error_without_a_value_for_an_input_of_no_weight():
    """Solvers' interfaces give no value to a Var that occurs in no row."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    network = Network.sequential([[[1.0, 0.0]], [[1.0]]], [[0.0], [0.0]])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.best = pyo.Objective(expr=m.nn.outputs[0])
    apply("relu.bigm", m)
    pyo.SolverFactory("gurobi_direct").solve(m)
    assert m.nn.forward_error() < 1e-6


def test_failing_function_of_the_modeller_leaves_no_block():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    with pytest.raises(TypeError):
        m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=lambda a, b: m.x)
    assert m.component("nn") is None


def test_output_tensors_of_different_rank():
    """Own Vars: the keys ("a", 0) and ("b", 0, 1) do not fit one Set of one dimension."""
    from pyomo_relu import Layer
    from pyomo_relu.network import INPUT, Source

    layer = Layer([Source(INPUT)], [np.ones((3, 2))], np.zeros(3), "identity")
    network = Network([layer], [("x", (2,))], [("a", (1,)), ("b", (1, 2))])
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network)
    assert len(m.nn.outputs) == 3
    assert m.nn.outputs["b", 0, 1] is m.nn.output_vars()[2]


def test_mutable_input_bound_survives_model_bounds():
    """The constraint tightens the lower bound of x0; ``x0 <= p`` must stay."""
    m = peak(own_outputs=False)
    m.p = pyo.Param(initialize=1, mutable=True)
    m.x[0].setub(m.p)
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] >= 0.5)
    apply("relu.obbt", m, scope="model")
    m.p.value = 0.1
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert m.x[0].value <= 0.1 + 1e-6


@pytest.mark.parametrize("name", ["relu.bigm", "relu.reduce", "relu.cells"])
@pytest.mark.parametrize("later", [False, True])
def test_neurons_that_the_modeller_restricts_are_kept(name, later):
    """x may grow until relu(x + 0.1), which the output does not read, reaches 0.5."""
    network = Network.sequential([[[1.0], [1.0]], [[1.0, 0.0]]], [[0.0, 0.1], [0.0]])
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.best = pyo.Objective(expr=m.x[0], sense=pyo.maximize)
    if not later:
        m.nn.post[0, 1].setub(0.5)
    try:
        apply(name, m)
    except ReLUError:
        assert name == "relu.reduce" and not later
        return
    if later:
        m.nn.post[0, 1].setub(0.5)
    assert optimum_or_refusal(m) in (None, pytest.approx(0.4, abs=1e-6))


def test_a_changed_function_is_not_searched_as_if_it_were_unchanged():
    m = peak(own_outputs=False)
    apply("relu.clipped", m, ceiling=0.5, allow_function_change=True)
    with pytest.raises(ReLUError, match="changed function"):
        pyo.SolverFactory("relu.branch").solve(m)
    with pytest.raises(ReLUError, match="changed function"):
        find_point(m, time_limit=1)


# -- conditions are checked once per call ----------------------------------------------


def test_a_question_is_asked_once_until_it_is_forgotten():
    asked = []

    def question(option):
        asked.append(option)
        return len(asked)

    owner, other = object(), object()
    reading = ModelReading()
    assert [reading.answer(owner, question, 1) for _ in range(3)] == [1, 1, 1]
    assert reading.answer(owner, question, 2) == 2
    assert ModelReading().answer(owner, question, 1) == 3
    assert reading.answer(owner, question, 1) == 1
    assert reading.answer(other, question, 1) == 4
    reading.forget()
    assert [reading.answer(owner, question, 1) for _ in range(2)] == [5, 5]


def test_bounds_that_rest_on_dropped_ones_are_dropped_in_the_same_call():
    """b's bounds used that a's run had confined z; a's run is void, so b's are."""
    m = pyo.ConcreteModel()
    m.z = pyo.Var([0, 1], bounds=(-1, 1))
    m.first, m.second = pyo.Block(), pyo.Block()
    m.first.b = ReLUNetworkBlock(network=two_two_one(), inputs=m.z)
    m.second.a = ReLUNetworkBlock(network=two_two_one(), inputs=m.z)
    m.c = pyo.Constraint(expr=m.z[0] + m.z[1] <= -0.5)
    apply("relu.obbt", m, scope="model", targets=m.second)
    assert m.z[0].ub == pytest.approx(0.5)
    m.c.deactivate()
    apply("relu.obbt", m.first, scope="model")
    m.best = pyo.Objective(expr=m.first.b.outputs[0], sense=pyo.maximize)
    apply("relu.bigm", m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(4, abs=1e-4)
