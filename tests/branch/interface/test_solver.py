"""SolverFactory("relu.branch"): options, results, log, refusals, limits."""

import concurrent.futures
import itertools
import logging
import warnings

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.dae import ContinuousSet, DerivativeVar
from pyomo.gdp import Disjunct, Disjunction
from pyomo.network import Arc, Port

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.branch.bounding.lines.bounder import Curves
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.errors import BoundsError, ModelError, ReLUError
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.random_networks import random_network

CONDITION = pyo.TerminationCondition


def peaky(seed=0, n=2, widths=(12, 12), bound=2.0, sense=pyo.minimize):
    """A random network of some depth over a box."""
    m = pyo.ConcreteModel(name="peaky")
    m.x = pyo.Var(range(n), bounds=(-bound, bound))
    m.nn = ReLUNetworkBlock(
        network=random_network(seed, n, widths, 1, scale=2.0), inputs=m.x
    )
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    return m


def absolute():
    """|x| on [-1, 2] as a network: all answers are plain."""
    network = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    m = pyo.ConcreteModel(name="absolute")
    m.x = pyo.Var(bounds=(-1, 2))
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x])
    m.y = pyo.Reference(m.nn.outputs[0])
    return m


def solve(m, **options):
    return pyo.SolverFactory("relu.branch").solve(m, **options)


# -- what users see --------------------------------------------------------------------


def test_solver_is_registered_and_available():
    with pyo.SolverFactory("relu.branch") as solver:
        assert solver.available()
        assert solver.available(exception_flag=False)
        assert solver.license_is_valid()
        assert solver.warm_start_capable()
        assert len(solver.version()) == 4


def test_results_object():
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + 1.0, sense=pyo.maximize)
    results = solve(m)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(3.0, rel=1e-4)
    assert m.x.value == pytest.approx(2.0, abs=1e-3)
    problem = results.problem
    assert problem.lower_bound <= 3.0 <= problem.upper_bound + 1e-9
    assert problem.sense == pyo.maximize
    assert problem.number_of_objectives == 1
    assert results.solver.time > 0
    assert m.nn.forward_error() == 0.0
    # everything inside the block is set too
    assert m.nn.post[0, 0].value == pytest.approx(2.0, abs=1e-3)
    assert m.nn.post[0, 1].value == 0.0


def test_indicators_of_an_encoded_block_are_set():
    m = peaky()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    solve(m)
    indicator = m.nn.record.encoding.reformulation.indicator
    assert len(indicator)
    for (k, i), z in indicator.items():
        assert z.value == int(m.nn.pre[k, i].value > 0)


def test_transformed_and_untransformed_blocks_agree():
    plain = peaky(3)
    solve(plain)
    encoded = peaky(3)
    pyo.TransformationFactory("relu.bigm").apply_to(encoded)
    results = solve(encoded)
    pyo.assert_optimal_termination(results)
    assert pyo.value(encoded.obj) == pytest.approx(pyo.value(plain.obj), rel=1e-4)


def test_solution_is_kept_in_the_results_if_asked():
    m = peaky(1)
    m.x[0].set_value(0.123)
    results = solve(m, load_solutions=False)
    assert m.x[0].value == 0.123
    assert m.nn.outputs[0].value is None
    assert len(results.solution) == 1
    m.solutions.load_from(results)
    assert m.nn.forward_error() <= 1e-9
    assert pyo.value(m.obj) == pytest.approx(results.problem.upper_bound)


def test_no_objective_finds_a_feasible_point():
    m = peaky(2)
    m.row = pyo.Constraint(expr=m.x[0] + m.x[1] == 0.25)
    m.obj.deactivate()
    results = solve(m)
    pyo.assert_optimal_termination(results)
    assert m.x[0].value + m.x[1].value == pytest.approx(0.25, abs=1e-6)
    assert m.nn.forward_error() <= 1e-9


def test_log(capsys):
    solve(peaky(4), tee=True)
    text = capsys.readouterr().out
    head = text.splitlines()
    assert head[0].startswith("relu.branch ")
    assert "1 network, 2 inputs, 24 neurons" in head[0]
    for word in ("nodes", "open", "bound", "incumbent", "gap", "seconds"):
        assert word in head[1]
    assert head[-1] == "status: optimal"
    last = head[-2].split()
    assert float(last[3]) <= float(last[4]) + 1e-9


def test_nothing_is_printed_unasked(capsys):
    solve(peaky(4))
    assert capsys.readouterr().out == ""


def test_log_speaks_the_modellers_sense(capsys):
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    solve(m, tee=True)
    last = capsys.readouterr().out.splitlines()[-2].split()
    assert float(last[3]) >= float(last[4]) > 1.99


# -- options ---------------------------------------------------------------------------


def test_options_from_all_places():
    m = peaky(5)
    solver = pyo.SolverFactory("relu.branch", mip_gap=0.5)
    solver.options["seed"] = 3
    loose = solver.solve(m)
    tight = solver.solve(m, options={"mip_gap": 1e-6}, timelimit=60)
    ends = [r.problem.upper_bound - r.problem.lower_bound for r in (loose, tight)]
    assert ends[1] <= 1e-6 * max(1.0, abs(tight.problem.upper_bound)) * 1.01
    assert ends[0] > 10 * ends[1]


def test_unknown_option_is_named():
    with pytest.raises(ModelError, match="unknown option 'gap'.*mip_gap"):
        solve(peaky(), gap=1e-3)


def test_bad_option_value():
    with pytest.raises(ValueError, match="mip_gap"):
        solve(peaky(), mip_gap=-1)


def test_same_run_for_the_same_seed():
    messages = {solve(peaky(6), seed=1).solver.message for _ in range(2)}
    assert len(messages) == 1


def test_warmstart_is_used():
    m = peaky(7)
    solve(m, mip_gap=1e-7)
    best = pyo.value(m.obj)
    problem = read_model(m).problem
    found = branch(problem, BranchOptions(time_limit=0.0, start=read_model(m).start()))
    assert found.value <= best + 1e-9
    assert pyo.value(m.obj) == best
    results = solve(m, warmstart=True)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) <= best + 1e-4 * abs(best)


@pytest.mark.parametrize("kind", ["threads", "thread pool", "process pool"])
def test_parallel_runs_agree(kind):
    m = peaky(8, n=3)
    m.row = pyo.Constraint(expr=sum(m.x.values()) + m.nn.outputs[0] >= -1)
    solve(m)
    expected = pyo.value(m.obj)
    if kind == "threads":
        results = solve(m, threads=2)
    else:
        pool = {
            "thread pool": concurrent.futures.ThreadPoolExecutor,
            "process pool": concurrent.futures.ProcessPoolExecutor,
        }[kind]
        with pool(2) as executor:
            results = solve(m, executor=executor, threads=2)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(expected, rel=2e-4)


# -- how a run ends --------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["relu", "relu.branch", "relu.decompose"])
def test_a_gap_in_percent_is_noticed(solver, caplog):
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    for gap, told in ((0.05, False), (5, True)):
        caplog.clear()
        pyo.SolverFactory(solver).solve(m, mip_gap=gap)
        assert (f"{solver}: mip_gap=5 calls any value optimal" in caplog.text) == told


def test_infeasible_by_the_network(caplog):
    m = absolute()
    m.row = pyo.Constraint(expr=m.nn.outputs[0] <= -0.01)
    m.obj = pyo.Objective(expr=m.x)
    with caplog.at_level(logging.WARNING, logger="pyomo.relu"):
        results = solve(m)
    assert results.solver.termination_condition == CONDITION.infeasible
    assert "no solution was loaded into 'absolute': infeasible" in caplog.text
    assert m.x.value is None


def test_infeasible_by_rows_alone():
    m = absolute()
    m.z = pyo.Var(bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.z + m.x >= 5)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    results = solve(m)
    assert results.solver.termination_condition == CONDITION.infeasible


def test_infeasible_by_integrality():
    m = absolute()
    m.z = pyo.Var(domain=pyo.Integers)
    m.row = pyo.Constraint(expr=(0.4, m.z + 0 * m.x, 0.6))
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    results = solve(m)
    assert results.solver.termination_condition == CONDITION.infeasible


def test_unbounded():
    m = absolute()
    m.z = pyo.Var()
    m.row = pyo.Constraint(expr=m.z >= m.nn.outputs[0])
    m.obj = pyo.Objective(expr=m.x - m.z)
    results = solve(m)
    assert results.solver.termination_condition == CONDITION.unbounded


@pytest.mark.parametrize("milp_neurons", [0, 30])
@pytest.mark.parametrize("domain", [pyo.Reals, pyo.Integers])
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_unbounded_without_any_row(sense, domain, milp_neurons):
    m = absolute()
    m.z = pyo.Var(domain=domain)
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + m.z, sense=sense)
    results = solve(m, milp_neurons=milp_neurons)
    assert results.solver.termination_condition == CONDITION.unbounded
    ends = results.problem.lower_bound, results.problem.upper_bound
    assert np.isneginf(ends[0]) if sense == pyo.minimize else np.isposinf(ends[1])


def test_unbounded_along_two_free_columns():
    # simplex without presolve gives up on this LP
    m = absolute()
    m.t, m.b = pyo.Var([2, 3]), pyo.Var([0, 1], domain=pyo.Binary)
    m.t[2].setub(1.5)
    m.both = pyo.Constraint(expr=(-1.86, -0.7 * m.t[2] + 3.0 * m.t[3], 0.14))
    m.one = pyo.Constraint(expr=0.3 * m.x - 0.5 * m.b[0] <= 1.03)
    m.obj = pyo.Objective(expr=1.1 * m.t[3] + 0.5 * m.b[1])
    for milp_neurons in (0, 30):
        results = solve(m, milp_neurons=milp_neurons)
        assert results.solver.termination_condition == CONDITION.unbounded


def test_free_columns_cause_no_warning_of_numpy():
    m = absolute()
    m.z, m.k = pyo.Var([0, 1]), pyo.Var(domain=pyo.Integers)
    m.k.setlb(4)
    m.row = pyo.Constraint(expr=m.z[0] + m.z[1] >= m.nn.outputs[0] + m.k)
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + 2.0 * m.x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = solve(m)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(-1.0, abs=1e-4)


def test_infeasible_and_unbounded_relaxation_is_infeasible():
    m = absolute()
    m.z = pyo.Var()
    m.row = pyo.Constraint(expr=m.nn.outputs[0] <= -0.5)
    m.obj = pyo.Objective(expr=m.x - m.z)
    results = solve(m)
    assert results.solver.termination_condition == CONDITION.infeasible


def test_bound_is_proven_when_time_runs_out(clock):
    m = peaky(9, n=6, widths=(30, 30, 30))
    clock.step = 0.01
    results = solve(m, time_limit=1.0)
    assert results.solver.termination_condition == CONDITION.maxTimeLimit
    assert 1.0 <= results.solver.time < 1.0 + 20 * clock.step
    assert results.problem.lower_bound < results.problem.upper_bound
    assert pyo.value(m.obj) == pytest.approx(results.problem.upper_bound)
    network = m.nn.network
    X = np.random.default_rng(0).uniform(-2, 2, (20000, 6))
    assert network.forward(X).min() >= results.problem.lower_bound


def test_interrupt_keeps_the_best_point():
    m = peaky(10, n=4, widths=(20, 20))
    read = read_model(m)
    calls = []

    def stop(tree):
        calls.append(tree.bound)
        if len(calls) == 3:
            raise KeyboardInterrupt

    result = branch(read.problem, BranchOptions(), stop)
    assert result.status == "interrupted"
    assert len(calls) == 3
    assert np.isfinite(result.value)
    assert result.bound <= result.value
    best = branch(read.problem, BranchOptions())
    assert result.bound <= best.value + 1e-9


def test_bounds_only_rise_and_boxes_are_reported():
    read = read_model(peaky(11, n=3))
    bounds, boxes = [], []
    result = branch(
        read.problem,
        BranchOptions(),
        lambda tree: bounds.append(tree.bound),
        lambda lower, upper: boxes.append((lower, upper)),
    )
    assert result.status == "optimal"
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(bounds))
    lower = np.concatenate([lo for lo, _ in boxes])
    upper = np.concatenate([hi for _, hi in boxes])
    assert lower.shape == upper.shape == (len(lower), 3)
    assert np.all(lower >= -2) and np.all(upper <= 2) and np.all(lower <= upper)


# -- models of every kind --------------------------------------------------------------


def test_inputs_bounded_by_rows_only():
    m = absolute()
    m.x.setlb(None)
    m.x.setub(None)
    m.w = pyo.Var(bounds=(0, 4))
    m.low = pyo.Constraint(expr=m.x >= -m.w - 1)
    m.high = pyo.Constraint(expr=m.x + m.w <= 3)
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    results = solve(m)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(5.0, rel=1e-4)


def test_fixed_inputs_outputs_and_others():
    m = absolute()
    m.z = pyo.Var(bounds=(0, 1))
    m.z.fix(0.5)
    m.nn.outputs[0].fix(0.75)
    m.obj = pyo.Objective(expr=m.x + m.z)
    pyo.assert_optimal_termination(solve(m))
    assert m.x.value == pytest.approx(-0.75, abs=1e-5)
    m.nn.outputs[0].unfix()
    m.x.fix(-0.3)
    pyo.assert_optimal_termination(solve(m))
    assert m.nn.outputs[0].value == pytest.approx(0.3)
    assert m.x.value == -0.3


@pytest.mark.parametrize("how", ["fixed", "bounds", "row", "priced"])
def test_fixed_inputs_are_no_inputs(how):
    network = random_network(5, 2, (9, 9))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-2, 2))
    m.p = pyo.Var(bounds=(-2, 2))
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x, m.p])
    if how in ("fixed", "priced"):
        m.p.fix(0.7)
    elif how == "bounds":
        m.p.setlb(0.7)
        m.p.setub(0.7)
    elif how == "row":
        m.half = pyo.Var()
        m.row = pyo.Constraint(expr=m.p == 0.3 * m.half)
        m.known = pyo.Constraint(expr=3 * m.half == 7)
    extra = m.p if how == "priced" else 0.0
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + 0.1 * m.x + extra)
    problem = read_model(m).problem
    assert problem.n_inputs == problem.network.n_inputs == 1
    assert len(Curves(problem.network, problem.lower[:1], problem.upper[:1])) == 1
    pyo.assert_optimal_termination(solve(m))
    x = np.linspace(-2, 2, 4001)
    values = (
        network.forward(np.stack([x, np.full(x.size, 0.7)], axis=1))[:, 0] + 0.1 * x
    )
    least = values.min() + (0.7 if how == "priced" else 0.0)
    assert pyo.value(m.obj) == pytest.approx(least, abs=2e-3)
    assert pyo.value(m.obj) <= least + 1e-6 * max(1.0, abs(least))


def test_network_that_feeds_itself():
    # y = |x| and x = y - 1 + z: the output is an input of the same network
    network = Network.sequential([[[1.0], [-1.0]], [[0.5, 0.5]]], [[0.0, 0.0], [0.1]])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 2))
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x], outputs=[m.x])
    m.obj = pyo.Objective(expr=m.x)
    pyo.assert_optimal_termination(solve(m))
    assert m.x.value == pytest.approx(0.2, abs=1e-5)


def test_deactivated_blocks_do_not_count():
    m = peaky(12)
    m.other = ReLUNetworkBlock(network=random_network(1, 2, (4,), 1), inputs=m.x)
    m.other.outputs[0].setub(-1e6)
    m.other.deactivate()
    pyo.assert_optimal_termination(solve(m))


def test_sub_block_of_a_model_is_solved_alone():
    m = pyo.ConcreteModel()
    m.part = pyo.Block()
    m.part.x = pyo.Var(bounds=(-1, 2))
    network = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    m.part.nn = ReLUNetworkBlock(network=network, inputs=[m.part.x])
    m.part.obj = pyo.Objective(expr=m.part.nn.outputs[0])
    m.outside = pyo.Constraint(expr=m.part.x >= 10)
    pyo.assert_optimal_termination(solve(m.part))
    assert m.part.x.value == pytest.approx(0.0, abs=1e-5)


# -- refusals --------------------------------------------------------------------------


def _row_of_no_atom(m):
    m.bad = pyo.Constraint(expr=m.x + 2 * pyo.atan(m.x) <= 1)


def _objective_of_no_atom(m):
    m.obj.expr = pyo.Expr_if(m.x >= 0, m.x**2, m.x)


def _endless_argument(m):
    m.z = pyo.Var()
    m.bad = pyo.Constraint(expr=m.z**3 >= m.x - 1)
    m.obj.expr = m.x * m.z**3 + m.nn.outputs[0]


def _pole(m):
    m.bad = pyo.Constraint(expr=1 / m.x + m.nn.outputs[0] >= 3)
    m.obj.expr = pyo.sin(3 * m.x) * m.nn.outputs[0]


def _two_objectives(m):
    m.more = pyo.Objective(expr=m.x)


def _sos(m):
    m.s = pyo.Var(range(2), bounds=(0, 1))
    m.bad = pyo.SOSConstraint(var=m.s, sos=1)


def _disjunction(m):
    m.one, m.two = Disjunct(), Disjunct()
    m.one.c = pyo.Constraint(expr=m.x >= 1)
    m.two.c = pyo.Constraint(expr=m.x <= 0)
    m.bad = Disjunction(expr=[m.one, m.two])


def _arc(m):
    m.z = pyo.Var(bounds=(-1, 2))
    m.one, m.two = Port(), Port()
    m.one.add(m.x, "a")
    m.two.add(m.z, "a")
    m.bad = Arc(source=m.one, destination=m.two)


def _derivative(m):
    m.t = ContinuousSet(bounds=(0, 1))
    m.s = pyo.Var(m.t, bounds=(-1, 2))
    m.bad = DerivativeVar(m.s)
    m.ode = pyo.Constraint(m.t, rule=lambda m, t: m.bad[t] == m.s[t])
    m.row = pyo.Constraint(expr=m.s[1] == m.x)


def _fixed_without_value(m):
    m.row = pyo.Constraint(expr=m.nn.outputs[0] + m.x <= 5)
    m.x.fixed = True


def _semicontinuous(m):
    m.k = pyo.Var(domain=pyo.RangeSet(0, 10, 5) | pyo.RangeSet(1, 2, 0))
    m.row = pyo.Constraint(expr=m.k >= m.nn.outputs[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_row_of_no_atom, "constraint 'bad' has 'atan.x.'.*atan is not among.*rewrite"),
        (_objective_of_no_atom, "objective 'obj' has .*Expr_if.*rewrite it with"),
        (_two_objectives, "several active objectives: obj, more"),
        (_sos, "'bad' is a SOSConstraint"),
        (_disjunction, "'bad' is a Disjunction.*gdp.bigm"),
        (_arc, "'bad' is an Arc.*network.expand_arcs"),
        (_derivative, r"'bad\[0\]' is a DerivativeVar.*dae.finite_difference"),
        (_fixed_without_value, "'x' is fixed but has no value"),
        (_semicontinuous, "'k' has the domain.*Encode other domains"),
    ],
)
def test_refused_by_name(change, message):
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    change(m)
    with pytest.raises(ModelError, match=message):
        solve(m)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [(_arc, "network.expand_arcs"), (_derivative, "dae.finite_difference")],
)
def test_what_stands_for_rows_is_taken_once_it_is_rows(change, remedy):
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    change(m)
    pyo.TransformationFactory(remedy).apply_to(m)
    m.pull = pyo.Constraint(expr=(m.z if change is _arc else m.s[1]) >= 1)
    pyo.assert_optimal_termination(solve(m))
    assert m.x.value >= 1 - 1e-6  # the rows that were made tie it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_endless_argument, "z has the bounds .*inf.*setlb"),
        (_pole, "'1/x' in constraint 'bad' has no bounds where its argument is in .*"),
    ],
)
def test_arguments_without_bounds_are_named(change, message):
    m = absolute()
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    change(m)
    with pytest.raises(BoundsError, match=message):
        solve(m)


def test_model_without_networks():
    m = pyo.ConcreteModel(name="plain")
    m.x = pyo.Var(bounds=(0, 1))
    m.obj = pyo.Objective(expr=m.x)
    with pytest.raises(ModelError, match="'plain' has no active ReLUNetworkBlock"):
        solve(m)


def test_unbounded_input_is_named():
    m = absolute()
    m.x.setub(None)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(BoundsError, match=r"input 'x' .*x.setlb\(...\) and x.setub"):
        solve(m)


def test_indicators_in_rows_or_fixed_are_refused():
    m = peaky(13)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    indicator = next(iter(m.nn.record.encoding.reformulation.indicator.values()))
    m.cut = pyo.Constraint(expr=indicator >= 1)
    with pytest.raises(ModelError, match="stands in a constraint of the model"):
        solve(m)
    m.cut.deactivate()
    indicator.fix(1)
    with pytest.raises(ModelError, match="and is fixed.*Unfix it"):
        solve(m)


def test_all_refusals_are_relu_errors():
    assert issubclass(ModelError, ReLUError) and issubclass(BoundsError, ReLUError)


# -- networks with known answers -------------------------------------------------------


def _answers():
    import json

    if SHARED_MODELS is None:
        return []
    answers = json.loads((SHARED_MODELS / "ANSWERS.json").read_text())
    return answers["optimum"]


@needs_shared_models
@pytest.mark.parametrize("answer", _answers(), ids=lambda a: f"{a['file']} {a['box']}")
def test_known_optima(answer):
    from pyomo_relu import load_onnx

    network = load_onnx(SHARED_MODELS / answer["file"])
    if network.n_inputs > 6:
        pytest.skip("too many inputs for branching on them")
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network)
    for var in m.nn.input_vars():
        var.setlb(answer["box"][0])
        var.setub(answer["box"][1])
    y = m.nn.output_vars()[answer["output"]]
    for sense, key in ((pyo.minimize, "min"), (pyo.maximize, "max")):
        if key not in answer:
            continue
        m.del_component("obj")
        m.obj = pyo.Objective(expr=y, sense=sense)
        pyo.assert_optimal_termination(solve(m))
        assert pyo.value(m.obj) == pytest.approx(answer[key], rel=1.1e-4, abs=1e-5)
