"""Every formulation by name: the same answers, no weaker relaxation, the same rows."""

import json

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import load_onnx
from tests.networks import chain, two_two_one
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.transform.battery import (
    FORMULATIONS,
    Formulation,
    big_m_optimum,
    box_model,
    lp_bound,
    networks,
    row_numbers,
    row_texts,
    samples,
    violations,
)
from tests.truth import check_against_onnx, solve

NETWORKS = networks()
every = pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
on_every_network = pytest.mark.parametrize("name", NETWORKS)
CASES = [(f, s) for f in FORMULATIONS for s in f.solvers]


@pytest.mark.covering(3)
@on_every_network
@pytest.mark.parametrize("formulation, solver", CASES, ids=str)
def test_same_optimum_as_big_m_and_as_the_network(formulation, solver, name):
    sense = pyo.minimize if len(name) % 2 else pyo.maximize
    m = box_model(NETWORKS[name], sense)
    formulation.apply(m)
    optimum = solve(m, solver, formulation.tolerance)
    expected, _ = big_m_optimum(name, sense)
    size = max(1.0, abs(expected))
    assert optimum == pytest.approx(expected, abs=formulation.tolerance * size)
    best = NETWORKS[name].forward(samples(NETWORKS[name])).sum(axis=1)
    slack = formulation.tolerance * size
    if sense == pyo.minimize:
        assert optimum <= best.min() + slack
    else:
        assert optimum >= best.max() - slack


@pytest.mark.covering(2)
@on_every_network
@every
def test_relaxation_is_never_weaker_than_big_m(formulation, name):
    sense = pyo.minimize if len(name) % 2 else pyo.maximize
    m = box_model(NETWORKS[name], sense)
    formulation.apply(m)
    optimum, weakest = big_m_optimum(name, sense)
    bound = lp_bound(m)
    slack = 1e-6 * max(1.0, abs(weakest))
    if sense == pyo.minimize:
        assert weakest - slack <= bound <= optimum + slack
    else:
        assert optimum - slack <= bound <= weakest + slack


@pytest.mark.covering(2)
@on_every_network
@every
def test_mip_start_satisfies_every_row(formulation, name):
    m = box_model(NETWORKS[name])
    formulation.apply(m)
    for x in samples(NETWORKS[name], n=6):
        m.nn.initialize(x)
        assert violations(m) == []
        assert m.nn.forward_error() == 0


@pytest.mark.covering(1)
@needs_shared_models
@pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
@pytest.mark.parametrize("file", ["keras_linear_131_relu.onnx", "gemm_transB.onnx"])
def test_known_optima_of_real_networks(formulation, file):
    answers = json.loads((SHARED_MODELS / "ANSWERS.json").read_text())["optimum"]
    path = SHARED_MODELS / "small" / file
    for answer in (a for a in answers if a["file"] == f"small/{file}"):
        for side, sense in (("min", pyo.minimize), ("max", pyo.maximize)):
            low, high = answer["box"]
            m = box_model(load_onnx(path), sense, 1.0)
            for var in m.nn.input_vars():
                var.setlb(low)
                var.setub(high)
            m.objective.set_value(m.nn.output_vars()[answer["output"]])
            formulation.apply(m)
            optimum = formulation.solve(m)
            tolerance = max(1e-5, formulation.tolerance) * max(1.0, abs(answer[side]))
            assert optimum == pytest.approx(answer[side], abs=tolerance)
            check_against_onnx(m.nn, path, max(1e-4, formulation.tolerance))


# -- rows ------------------------------------------------------------------------------

#: Rows of neuron (0, 0) of the 2-2-1 network, v = x0 + x1 in [-2, 2].
TEXTS = {
    "relu.bigm": {
        "above": "0  <=  nn.post[0,0] - nn.pre[0,0]",
        "active": "nn.post[0,0] - nn.pre[0,0] + 2*indicator[0,0]  <=  2",
        "inactive": "nn.post[0,0] - 2*indicator[0,0]  <=  0",
    },
    "relu.clipped-ceiling=1.5-allow_function_change=True": {
        "at_ceiling": "0  <=  nn.post[0,0] - 1.5*ceiling_indicator[0,0]",
        "below_ceiling": (
            "0  <=  nn.post[0,0] - nn.pre[0,0] + 0.5*ceiling_indicator[0,0]"
        ),
        "active": "nn.post[0,0] - nn.pre[0,0] + 2*indicator[0,0]  <=  2",
        "inactive": "nn.post[0,0] - 1.5*indicator[0,0]  <=  0",
        "order": "ceiling_indicator[0,0] - indicator[0,0]  <=  0",
    },
    "relu.scaled-factors=0.5": {
        "above": "0  <=  scaled_post[0,0] - scaled_pre[0,0]",
        "active": "scaled_post[0,0] - scaled_pre[0,0] + 1*indicator[0,0]  <=  1",
        "inactive": "scaled_post[0,0] - 1*indicator[0,0]  <=  0",
    },
    "relu.partition-n_parts=2": {
        ("sum", 0): "nn.inputs[0] - part_sum[0,0,0]  ==  0",
        ("on_low", 0): "0  <=  active_part_sum[0,0,0] + 1*indicator[0,0]",
        ("off_low", 0): (
            "-1  <=  part_sum[0,0,0] - active_part_sum[0,0,0] - 1*indicator[0,0]"
        ),
        ("on_high", 0): "active_part_sum[0,0,0] - 1*indicator[0,0]  <=  0",
        ("off_high", 0): (
            "part_sum[0,0,0] - active_part_sum[0,0,0] + 1*indicator[0,0]  <=  1"
        ),
        ("on_low", 1): (
            "0  <=  nn.post[0,0] + 1*indicator[0,0] - active_part_sum[0,0,0]"
        ),
        ("off_low", 1): (
            "-1  <=  nn.pre[0,0] - part_sum[0,0,0] - nn.post[0,0] - 1*indicator[0,0] "
            "+ active_part_sum[0,0,0]"
        ),
        ("on_high", 1): (
            "nn.post[0,0] - 1*indicator[0,0] - active_part_sum[0,0,0]  <=  0"
        ),
        ("off_high", 1): (
            "nn.pre[0,0] - part_sum[0,0,0] - nn.post[0,0] + 1*indicator[0,0] "
            "+ active_part_sum[0,0,0]  <=  1"
        ),
        "above": "0  <=  nn.post[0,0] - nn.pre[0,0]",
    },
    "relu.sos1": {
        "hull": "4*nn.post[0,0] - 2*nn.pre[0,0]  <=  4",
        "split": "nn.post[0,0] - nn.pre[0,0] - below_zero[0,0]  ==  0",
    },
    "relu.complementarity": {
        "hull": "4*nn.post[0,0] - 2*nn.pre[0,0]  <=  4",
        "split": "nn.post[0,0] - nn.pre[0,0] - below_zero[0,0]  ==  0",
    },
    "relu.gdp": {"above": "0  <=  nn.post[0,0] - nn.pre[0,0]"},
}


@pytest.mark.parametrize("text", TEXTS)
def test_rows_of_a_2_2_1_network_as_text(text):
    name, *options = text.split("-")
    options = {k: eval(v) for k, v in (o.split("=") for o in options)}
    formulation = Formulation(name, options)
    m = box_model(two_two_one())
    before = {key: str(row.expr) for key, row in m.nn.activation.items()}
    assert before[0, 0] == "nn.post[0,0]  ==  0.5*(nn.pre[0,0] + abs(nn.pre[0,0]))"
    formulation.apply(m)
    after = {k[2:]: t for k, t in row_texts(m.nn).items() if k[:2] == (0, 0)}
    expected = {
        key if isinstance(key, tuple) else (key,): t for key, t in TEXTS[text].items()
    }
    assert after == expected
    assert not any(row.active for row in m.nn.activation.values())


def test_products_and_sets_of_a_2_2_1_network_as_text():
    m = box_model(two_two_one())
    Formulation("relu.complementarity").apply(m)
    new = m.nn.record.encoding.reformulation
    text = str(new.products[0, 0, "zero"].expr).replace(f"{new.name}.", "")
    assert text == "nn.post[0,0]*below_zero[0,0]  <=  0.0"
    m = box_model(two_two_one())
    Formulation("relu.sos1").apply(m)
    new = m.nn.record.encoding.reformulation
    members = [v.name for v in new.sets[0, 0, "zero"].get_variables()]
    assert members == ["nn.post[0,0]", f"{new.name}.below_zero[0,0]"]
    assert new.sets[0, 0, "zero"].level == 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "formulation",
    [
        Formulation("relu.partition", {"n_parts": 1}),
        Formulation("relu.scaled", {"factors": 1}),
        Formulation("relu.clipped", {"ceiling": np.inf}),
        Formulation("relu.clipped", {"ceiling": 1e6}),
        Formulation("relu.clipped"),
    ],
    ids=str,
)
def test_neutral_options_give_big_m_row_for_row(formulation, name):
    big_m, other = box_model(NETWORKS[name]), box_model(NETWORKS[name])
    pyo.TransformationFactory("relu.bigm").apply_to(big_m)
    formulation.apply(other)
    assert row_numbers(other.nn) == row_numbers(big_m.nn)
    for one, two in zip(
        big_m.component_data_objects(pyo.Var),
        other.component_data_objects(pyo.Var),
        strict=True,
    ):
        assert one.bounds == two.bounds
    assert other.nn.encoded_network is other.nn.network
    affine = [row.active for row in other.nn.affine.values()]
    assert all(affine)


@every
def test_stronger_bounds_reach_every_formulation(formulation):
    m = box_model(chain([2, 8, 8, 1], seed=30))
    loose = m.clone()
    pyo.TransformationFactory("relu.bounds").apply_to(m, methods=["crown"])
    formulation.apply(m)
    formulation.apply(loose)
    widths = [
        formulation.transformation.get_neuron_bounds(model.nn).mean_width(1)
        for model in (m, loose)
    ]
    if formulation.own_bounds:
        assert widths[0] <= widths[1] * (1.0 + 1e-9)
        assert lp_bound(m) > lp_bound(loose) - 1e-6
        return
    assert widths[0] < 0.9 * widths[1]
    assert lp_bound(m) > lp_bound(loose) + 1e-6
