"""relu.auto: what it picks, that it says so, and that it comes off again."""

import logging

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import TransformationError
from tests.networks import chain
from tests.transform.battery import box_model
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
    assert len(lines) == 1
    assert "'nn': " in lines[0] and chosen in lines[0] and "because" in lines[0]
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-5)


def mixed():
    m = pyo.ConcreteModel()
    m.few = ReLUNetworkBlock(network=chain([2, 6, 6, 1], seed=1))
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
    assert names[0] == "relu.cells" != names[1]
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
    with pytest.raises(ValueError, match="inputs"):
        encode(m)
    assert m.few.record.encoding is None and m.many.record.encoding is None


def test_already_encoded_network_is_refused():
    m = mixed()
    pyo.TransformationFactory("relu.bigm").apply_to(m, targets=[m.few])
    with pytest.raises(TransformationError, match="already encoded by relu.bigm"):
        encode(m, targets=[m.few])
    encode(m)
    assert m.few.record.encoding.formulation.NAME == "relu.bigm"
    assert m.many.record.encoding is not None


@pytest.mark.parametrize("n_inputs", [2, 3])
@pytest.mark.parametrize("widths, few", [((8, 8), True), ((30, 30), False)])
@pytest.mark.parametrize("solver", ["gurobi_direct", "appsi_highs"])
def test_small_networks_of_three_inputs_get_big_m_for_gurobi(
    n_inputs, widths, few, solver
):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=chain([n_inputs, *widths, 1], seed=3))
    for var in m.nn.input_vars():
        var.setlb(-1)
        var.setub(1)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    pyo.TransformationFactory("relu.auto").apply_to(m, solver=solver)
    quick = n_inputs == 3 and few and solver == "gurobi_direct"
    formulation = m.nn.record.encoding.formulation
    assert ("relu.bigm" if quick else "relu.cells") == formulation.NAME


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
    assert printed[-1].startswith("relu.auto: 'nn': relu.cells, because ")
