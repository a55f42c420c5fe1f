"""relu.auto: what it picks, that it says so, and that it comes off again."""

import logging
import re

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock, example_network
from pyomo_relu.errors import BoundsError, TransformationError
from pyomo_relu.linear.sessions.gurobi import licence_takes
from tests.networks import chain
from tests.transform.battery import box_model, violations
from tests.truth import solve


def encode(m, **options):
    return pyo.TransformationFactory("relu.auto").apply_to(m, **options)


@pytest.mark.parametrize(
    "network, half_width, formulation",
    [
        (chain([2, 8, 8, 1]), 1.0, "relu.cells"),
        (chain([1, 8, 8, 1]), 1.0, "relu.cells"),
        (chain([2, 8, 8, 1]), 1e-6, "relu.bigm"),
        (chain([6, 5, 1]), 1.0, "relu.bigm"),
        (chain([6, 10, 8, 1]), 1.0, None),
    ],
)
def test_choice_and_log_line(network, half_width, formulation, caplog):
    m = box_model(network, half_width=half_width)
    big = m.clone()
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(m)
    chosen = m.nn.record.encoding.formulation.NAME
    assert chosen == formulation or (formulation is None and chosen != "relu.cells")
    lines = [r.message for r in caplog.records if r.message.startswith("relu.auto")]
    assert len(lines) == 2
    assert "'nn': " in lines[0] and chosen in lines[0] and "because" in lines[0]
    assert "about " in lines[1] and " columns (" in lines[1]
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-5)


def mixed():
    m = pyo.ConcreteModel()
    m.few = ReLUNetworkBlock(network=chain([1, 6, 6, 1], seed=1))
    m.many = ReLUNetworkBlock(network=chain([6, 10, 8, 1], seed=2))
    for block in (m.few, m.many):
        for var in block.input_vars():
            var.setlb(-1)
            var.setub(1)
    m.link = pyo.Constraint(expr=m.few.inputs[0] == m.many.inputs[0])
    m.objective = pyo.Objective(expr=m.few.outputs[0] + m.many.outputs[0])
    return m


def test_networks_of_one_model_get_their_own_and_come_off_together():
    m, big = mixed(), mixed()
    token = encode(m, time_budget=60)
    names = [b.record.encoding.formulation.NAME for b in (m.few, m.many)]
    assert names == ["relu.cells", "relu.bigm"]
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    optimum = solve(big)
    assert solve(m) == pytest.approx(optimum, abs=1e-5)
    pyo.TransformationFactory("relu.auto").apply_to(m, reverse=token)
    assert m.few.record.encoding is None and m.many.record.encoding is None
    assert m.many.record.bounds is None
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert solve(m) == pytest.approx(optimum, abs=1e-5)


def test_network_without_input_bounds_leaves_nothing():
    m = mixed()
    m.many.inputs[0].setub(None)
    m.link.deactivate()
    with pytest.raises(ValueError, match="inputs"):
        encode(m)
    assert m.few.record.encoding is None and m.many.record.encoding is None


def test_inputs_without_bounds_get_them_from_the_rows_and_lose_them():
    m = pyo.ConcreteModel()
    m.x, m.z = pyo.Var(bounds=(-2, 2)), pyo.Var([0, 1], bounds=(-1, 1))
    m.f, m.y = pyo.Var(), pyo.Var([0, 1])
    m.row = pyo.Constraint(expr=m.f == 2 * m.x + 1)
    m.nn = ReLUNetworkBlock(
        [0, 1],
        network=example_network("peaks_2x20"),
        inputs=lambda k: [m.y[0] if k else m.f, m.z[k]],
        outputs=lambda k: m.y[k],
    )
    m.cost = pyo.Objective(expr=m.y[1] + 0.1 * m.y[0])
    token = encode(m)
    assert "relu.obbt on the whole model, then relu.bigm" in m.nn[1].summary()
    assert [run.name for run in m.nn[1].record.runs] == ["relu.obbt"]  # not once more
    pyo.SolverFactory("appsi_highs").solve(m)
    encoded = pyo.value(m.cost)
    encode(m, reverse=token)
    assert not any(v.has_lb() or v.has_ub() for v in (m.f, *m.y.values()))
    pyo.SolverFactory("relu").solve(m)
    assert encoded == pytest.approx(pyo.value(m.cost), abs=1e-3)
    m.row.deactivate()
    with pytest.raises(BoundsError, match="neither Var bounds nor constraints confine"):
        encode(m)
    assert not any(v.has_lb() or v.has_ub() for v in (m.f, *m.y.values()))


def test_already_encoded_network_is_refused():
    m = mixed()
    pyo.TransformationFactory("relu.bigm").apply_to(m, targets=[m.few])
    with pytest.raises(TransformationError, match="already encoded by relu.bigm"):
        encode(m, targets=[m.few])
    encode(m)
    assert m.few.record.encoding.formulation.NAME == "relu.bigm"
    assert m.many.record.encoding is not None


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("widths, few", [((8, 8), True), ((30, 30), False)])
@pytest.mark.parametrize("solver", ["gurobi_direct", "appsi_highs"])
def test_cells_where_they_pay(n_inputs, widths, few, solver):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=chain([n_inputs, *widths, 1], seed=3))
    for var in m.nn.input_vars():
        var.setlb(-1)
        var.setub(1)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    pyo.TransformationFactory("relu.auto").apply_to(m, solver=solver)
    cells = n_inputs <= 2 or (not few and solver == "gurobi_direct")
    formulation = m.nn.record.encoding.formulation
    assert ("relu.cells" if cells else "relu.bigm") == formulation.NAME


def many(n, sizes, n_inputs=2):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(range(n), network=chain([n_inputs, *sizes, 1], seed=3))
    for var in m.component_data_objects(pyo.Var):
        if var.parent_component().local_name == "inputs":
            var.setlb(-1)
            var.setub(1)
    m.objective = pyo.Objective(expr=sum(b.outputs[0] for b in m.nn.values()))
    return m


def test_several_networks_of_two_inputs_get_big_m():
    m = many(2, (8, 8))
    encode(m)
    names = {b.record.encoding.formulation.NAME for b in m.nn.values()}
    assert names == {"relu.bigm"}


def contents(m):
    variables = list(m.component_data_objects(pyo.Var))
    rows = list(m.component_data_objects(pyo.Constraint, active=True))
    binary = sum(v.is_binary() for v in variables)
    return len(variables), binary, len(rows)


@pytest.mark.parametrize("n_inputs, n", [(1, 3), (2, 1), (2, 3), (6, 2)])
def test_expected_sizes_are_about_right(n_inputs, n, caplog):
    m = many(n, (8, 7), n_inputs)
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(m)
    (line,) = [r.message for r in caplog.records if "columns (" in r.message]
    columns, binaries, rows = map(int, re.findall(r"\d+", line))
    of_cells = any(
        b.record.encoding.formulation.NAME == "relu.cells" for b in m.nn.values()
    )
    for said, there in zip((columns, binaries, rows), contents(m), strict=True):
        # neurons that cells leave out stay in the model as Vars
        assert (
            said >= 0.5 * there - 40 if of_cells else 0.8 * there <= said <= 1.3 * there
        )


def test_the_free_licence_of_gurobi_is_respected(caplog):
    assert not licence_takes(2500, 10) and licence_takes(100, 100)
    m = many(12, (40, 40))
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        encode(m, solver="gurobi")
    assert "more than this Gurobi licence takes" in caplog.text
    assert "Use HiGHS" in caplog.text
    choice = m.nn[0].record.encoding.choice
    assert "relu.reduce" in choice and "licence" in choice


def test_smaller_rows_where_only_those_fit_the_licence(caplog):
    network = chain([6, 150, 100, 1], scale=0.7)
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(range(4), network=network)
    for block in m.nn.values():
        for var in block.input_vars():
            var.setlb(-0.05)
            var.setub(0.05)
    m.objective = pyo.Objective(expr=sum(b.outputs[0] for b in m.nn.values()))
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        token = encode(m, solver="gurobi_direct_v2")
    assert not caplog.text
    assert "smaller, because Gurobi's licence" in m.nn[0].record.encoding.choice
    start = pyo.value(m.objective)
    assert solve(m, "gurobi_direct_v2") <= start + 1e-6
    pyo.TransformationFactory("relu.auto").apply_to(m, reverse=token)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        encode(m, solver="gurobi_direct")  # which hands over unused Vars, too
    assert "more than this Gurobi licence takes" in caplog.text


def test_vars_get_a_feasible_point_and_their_values_back():
    m = mixed()
    m.few.inputs[0].set_value(0.25)
    before = [(v.name, v.value) for v in m.component_data_objects(pyo.Var)]
    token = encode(m)
    assert violations(m) == []
    start = pyo.value(m.objective)
    T = pyo.TransformationFactory("relu.auto")
    T.apply_to(m, reverse=token)
    assert [(v.name, v.value) for v in m.component_data_objects(pyo.Var)] == before
    token = encode(m, initialize=False)
    assert m.many.inputs[0].value is None
    T.apply_to(m, reverse=token)
    token = encode(m)
    optimum = solve(m)
    assert optimum <= start + 1e-6
    T.apply_to(m, reverse=token)  # what was solved for stays
    assert pyo.value(m.objective) == pytest.approx(optimum)


def test_no_start_where_none_can_be_looked_for(caplog):
    m = mixed()
    m.bent = pyo.Constraint(expr=pyo.atan(m.few.outputs[0]) <= 2)
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(m)
    assert "no feasible point was looked for" in caplog.text
    assert m.few.inputs[0].value is None


def test_no_start_where_none_is_found(caplog):
    m = mixed()
    m.hard = pyo.Constraint(expr=m.few.outputs[0] == m.many.outputs[0])
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(m, time_budget=0.0)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert m.few.inputs[0].value is None or violations(m) == []


def flowsheet(around, networks=1):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        pyo.RangeSet(networks), network=chain([2, 9, 9, 1], seed=3), inputs=m.x
    )
    m.t = pyo.Var(bounds=(-9, 9))
    if around == "row":
        m.row = pyo.Constraint(expr=m.t == m.x[0] * m.nn[1].outputs[0])
    elif around == "exp":
        m.row = pyo.Constraint(expr=m.t == pyo.exp(m.x[0]) * m.x[1])
    else:
        m.row = pyo.Constraint(expr=m.t == m.x[0] + m.x[1])
    square = 0.5 * m.x[1] ** 2 if around == "objective" else 0
    m.objective = pyo.Objective(expr=m.nn[1].outputs[0] + 0.3 * m.t + square)
    return m


@pytest.mark.parametrize(
    "around, networks, solver, formulation",
    [
        ("linear", 1, "highs", "relu.cells"),
        ("linear", 1, "scip_direct", "relu.sos1"),
        ("row", 1, "scip_persistent", "relu.sos1"),
        pytest.param("exp", 1, "scip_direct", "relu.sos1", marks=pytest.mark.dense),
        ("row", 2, "scip_direct", "relu.bigm"),
        ("row", 1, "gurobi_direct", "relu.bigm"),
        ("exp", 1, "gurobi_direct_minlp", "relu.bigm"),
        pytest.param("objective", 1, "gurobi", "relu.bigm", marks=pytest.mark.dense),
        ("objective", 1, "highs", "relu.bigm"),
        ("linear", 1, "scip", "relu.cells"),  # by a file, whose sets nobody has tried
    ],
)
def test_told_of_scip_or_seeing_a_nonlinear_model(
    around, networks, solver, formulation, caplog
):
    m = flowsheet(around, networks)
    big = m.clone()
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    before = [str(row.expr) for row in m.component_data_objects(pyo.Constraint)]
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        token = encode(m, solver=solver)
    names = {b.record.encoding.formulation.NAME for b in m.nn.values()}
    assert names == {formulation}
    told = [r for r in caplog.messages if "which HiGHS does not take" in r]
    assert len(told) == (around != "linear" and solver == "highs")
    path = solver if solver not in ("highs", "scip") else "gurobi_direct"
    if pyo.SolverFactory(path).available(exception_flag=False):
        other = "scip_direct" if around == "exp" else path
        expected = solve(big, other, tolerance=1e-4)
        assert solve(m, path, tolerance=1e-4) == pytest.approx(expected, abs=1e-3)
    encode(m, reverse=token)
    after = [str(row.expr) for row in m.component_data_objects(pyo.Constraint)]
    assert after == before


def test_a_misspelt_solver_is_refused():
    with pytest.raises(TransformationError, match="no solver 'gurobbi'. Did you mean"):
        encode(mixed(), solver="gurobbi")


def test_told_the_solver_and_the_budget():
    m = mixed()
    encode(m, solver="gurobi_direct", time_budget=0.0)
    big = mixed()
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-5)


def test_example_that_compares_formulations(tmp_path):
    from examples import formulations

    names = ["peaks_2x10_seed0"]
    rows = [
        formulations.run(label, names, "highs", 30.0)
        for label in ("bounds + bigm", "auto")
    ]
    assert rows[0].outcome.best == pytest.approx(rows[1].outcome.best, abs=1e-4)
    assert rows[0].root <= rows[1].root <= rows[1].outcome.best + 1e-6
    text = formulations.table(rows).splitlines()
    assert len(text) == 3 and text[2].startswith("auto")
    formulations.plot(rows, names, tmp_path / "formulations.png")
    assert (tmp_path / "formulations.png").stat().st_size > 5000


def test_the_choice_is_printed_on_request_and_kept(capsys):
    m = box_model(chain([2, 6, 6, 1]))
    pyo.TransformationFactory("relu.auto").apply_to(m)
    assert capsys.readouterr().out == ""
    (line,) = [r for r in m.nn.summary().splitlines() if r.startswith("relu.auto")]
    assert line.startswith("relu.auto picked relu.cells, because ")
    assert m.clone().nn.summary() == m.nn.summary()
    m = box_model(chain([2, 6, 6, 1]))
    pyo.TransformationFactory("relu.auto").apply_to(m, tee=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].startswith("relu.auto: 'nn': relu.cells, because ")
    assert printed[-1].startswith("relu.auto: about ")
