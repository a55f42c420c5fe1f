"""relu.partition: splits, bounds of parts, the hull, options."""

import itertools

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu import Network
from pyomo_relu.errors import TransformationError
from pyomo_relu.transform.formulations.partition_split import SourceTerms, split_terms
from pyomo_relu.transform.parts.row_builder import RowBuilder
from tests.networks import chain, residual
from tests.random_networks import networks
from tests.transform.battery import box_model, lp_bound, samples, snapshot
from tests.truth import solve


def partition():
    return pyo.TransformationFactory("relu.partition")


def source_terms(network, k, half_width=1.0):
    m = box_model(network, half_width=half_width)
    return SourceTerms(RowBuilder(m.nn, m.nn.neuron_bounds()), k)


def neuron(weights, bias):
    """One neuron as a network."""
    return Network.sequential([[weights], [[1.0]]], [[bias], [0.0]])


def hull_bound(weights, bias, x, v_cost):
    """max of post - v_cost v over the ideal formulation at a fixed input x.

    Anderson et al.: the least of sum_I w (x - l' (1 - z)) + (b + sum_rest w u') z over
    all subsets I, maximised over z in [0, 1]; piecewise linear and concave in z.
    """
    w = np.array(weights)
    low, high = np.where(w >= 0, -1.0, 1.0), np.where(w >= 0, 1.0, -1.0)

    def bound(z):
        terms = np.minimum(w * (x - low * (1 - z)), w * high * z)
        return terms.sum() + bias * z

    # breakpoints in z of the terms: w (x - l' + l' z) = w u' z
    kinks = [0.0, 1.0, *((x - low) / (high - low))]
    return max(bound(z) for z in kinks if 0 <= z <= 1) - v_cost * (w @ x + bias)


@pytest.mark.parametrize("seed", range(6))
def test_one_part_per_weight_is_the_convex_hull_of_a_neuron(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    weights, bias = rng.normal(size=n).tolist(), float(0.3 * rng.normal())
    for _ in range(4):
        x = rng.uniform(-1, 1, n)
        found = {}
        for n_parts in (1, 2, "hull"):
            m = box_model(neuron(weights, bias), pyo.maximize)
            partition().apply_to(m, n_parts=n_parts)
            for var, value in zip(m.nn.input_vars(), x, strict=True):
                var.fix(float(value))
            found[n_parts] = lp_bound(m)
        expected = hull_bound(weights, bias, x, 0.0)
        assert found["hull"] == pytest.approx(expected, abs=1e-6)
        assert found["hull"] <= found[2] + 1e-7 and found[2] <= found[1] + 1e-7


def test_more_parts_tighten_the_relaxation():
    network = chain([4, 8, 8, 1], seed=3)
    bounds = []
    for n_parts in (1, 2, 4, "hull"):
        m = box_model(network)
        partition().apply_to(m, n_parts=n_parts)
        bounds.append(lp_bound(m))
    assert bounds == sorted(bounds) and bounds[0] < bounds[-1] - 1e-3


@pytest.mark.parametrize("split", ["equal_size", "equal_range"])
@pytest.mark.parametrize("n_parts", [2, 3, 4])
def test_splits_have_the_right_optimum(split, n_parts):
    network = chain([4, 6, 5, 1], seed=n_parts)
    m, reference = box_model(network), box_model(network)
    partition().apply_to(m, split=split, n_parts=n_parts)
    pyo.TransformationFactory("relu.bigm").apply_to(reference)
    assert solve(m) == pytest.approx(solve(reference), abs=1e-6)


def test_equal_size_and_equal_range_by_hand():
    terms = source_terms(neuron([5.0, -4.0, 0.1, 0.2, 0.0, 0.3, -0.1], 0.0), 0)
    weights = terms.row(0)[1]
    assert weights.tolist() == [5.0, -4.0, 0.1, 0.2, 0.3, -0.1]

    def parts(n, split):
        return [sorted(weights[p].tolist()) for p in split_terms(terms, 0, n, split)]

    assert parts(3, "equal_size") == [[-4.0, -0.1], [0.1, 0.2], [0.3, 5.0]]
    assert parts(4, "equal_size") == [[-4.0, -0.1], [0.1, 0.2], [0.3], [5.0]]
    assert parts(3, "equal_range") == [[-4.0], [-0.1, 0.1, 0.2, 0.3], [5.0]]
    assert parts(2, "equal_range") == [[-4.0, -0.1, 0.1, 0.2, 0.3], [5.0]]
    assert len(parts(None, "equal_size")) == 6
    assert len(parts(99, "equal_size")) == 6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), st.sampled_from(["equal_size", "equal_range"]), st.integers(2, 5))
def test_parts_are_a_partition_with_sound_bounds(network, split, n_parts):
    points = samples(network, n=200)
    pre, post = network.propagate(points)
    for k, layer in enumerate(network.activation_layers):
        terms = source_terms(network, k)
        values = np.hstack(
            [
                points if s < 0 else (post if is_post else pre)[s]
                for s, is_post in layer.sources
            ]
        )
        for i in range(layer.size):
            columns, weights = terms.row(i)
            parts = split_terms(terms, i, n_parts, split)
            joined = np.concatenate(parts)
            assert sorted(joined.tolist()) == list(range(weights.size))
            for part in parts:
                low, high = terms.range_of(i, part)
                sums = values[:, columns[part]] @ weights[part]
                error = 1e-13 * (
                    np.abs(values[:, columns[part]]) @ np.abs(weights[part])
                )
                assert np.all(low - error <= sums) and np.all(sums <= high + error)


def test_tighter_bounds_on_the_neuron_are_not_lost():
    """OBBT and CROWN bounds may beat the sums of the parts' bounds."""
    network = chain([3, 8, 8, 1], seed=11)
    bounds = {}
    for name in ("relu.bigm", "relu.partition"):
        m = box_model(network)
        pyo.TransformationFactory("relu.bounds").apply_to(m, methods=["crown"])
        pyo.TransformationFactory(name).apply_to(m)
        bounds[name] = lp_bound(m)
    rows = m.nn.record.encoding.reformulation.rows
    assert any(
        key[2] == "active" and len(row.body.linear_vars) == 3
        for key, row in rows.items()
    )
    assert bounds["relu.partition"] >= bounds["relu.bigm"] - 1e-7


def test_repeated_inputs_and_clipped_neurons():
    network = residual(2)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.nn = type(box_model().nn.parent_component())(network=network, inputs=[m.x, m.x])
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    partition().apply_to(m, n_parts="hull")
    optimum = solve(m)
    line = np.linspace(-1, 1, 4001)
    truth = network.forward(np.column_stack([line, line]))[:, 0].min()
    assert optimum == pytest.approx(truth, abs=1e-3) and optimum <= truth + 1e-7
    labels = {key[2] for key in m.nn.record.encoding.reformulation.rows}
    assert {"below_ceiling", "sum"} <= labels


def test_default_is_one_part_where_there_is_one_weight():
    m = box_model(chain([1, 5, 5, 1]))
    partition().apply_to(m)
    rows = m.nn.record.encoding.reformulation.rows
    assert not any(k == 0 and label == "sum" for k, _, label, *_ in rows)
    assert any(k == 1 and label == "sum" for k, _, label, *_ in rows)
    solve(m)


@pytest.mark.parametrize(
    "n_parts, message",
    [
        (3, r"layer 0 of 'nn' have at most 2 nonzero weights. Use n_parts=\[2, 3\]"),
        ([2, 7], r"layer 1 .* at most 6 .*\[2, 6\]"),
        (0, "positive number"),
        ([2], "2 activation"),
        ([2, 2.5], "positive number"),
        ("ideal", "positive number"),
    ],
    ids=str,
)
def test_wrong_numbers_of_parts(n_parts, message):
    m = box_model(chain([2, 6, 6, 1]))
    before = snapshot(m)
    with pytest.raises(TransformationError, match=message):
        partition().apply_to(m, n_parts=n_parts)
    with pytest.raises(ValueError, match="split"):
        partition().apply_to(m, split="random")
    assert snapshot(m) == before


def test_all_patterns_of_a_small_network_are_feasible():
    """Fix the indicators to each pattern of a grid point: the point stays feasible."""
    network = chain([2, 3, 3, 1], seed=2)
    m = box_model(network)
    partition().apply_to(m, n_parts="hull")
    new = m.nn.record.encoding.reformulation
    for x in itertools.product([-1, -0.5, 0.1, 1], repeat=2):
        m.nn.initialize(x)
        for var in (*m.nn.input_vars(), *(z for _, z in new.indicator.items())):
            var.fix()
        assert solve(m) == pytest.approx(network.forward(x)[0], abs=1e-6)
        for var in (*m.nn.input_vars(), *(z for _, z in new.indicator.items())):
            var.unfix()


@pytest.mark.parametrize("n_parts", [2.5, "2", "Hull"])
def test_numbers_of_parts_that_are_none_are_refused(n_parts):
    with pytest.raises(
        TransformationError, match=r"n_parts=.*a positive number of parts"
    ):
        partition().apply_to(box_model(chain([2, 3, 1])), n_parts=n_parts)
