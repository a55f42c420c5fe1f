"""Many blocks of one network: bounded once where boxes are equal, in batches else."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.bounds import crown_bounds, tighten
from pyomo_relu.bounds.cells import refinement
from pyomo_relu.bounds.cells.boxes import split_together
from pyomo_relu.bounds.cells.partition import CellPartition
from tests.networks import chain
from tests.transform.battery import violations
from tests.truth import solve

N = 6


def networks():
    """One network, and an equal one that is another object."""
    one = chain([2, 7, 6, 1], seed=3)
    return one, Network(one.layers, one.inputs, one.outputs, one.name)


def many(kind="indexed", boxes="same"):
    one, twin = networks()
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(0, N - 1)
    m.x = pyo.Var(m.I, [0, 1], bounds=(-1, 1))
    m.y = pyo.Var(m.I)
    rng = np.random.default_rng(5)
    for i in m.I:
        if boxes == "nested":
            m.x[i, 0].setlb(-float(rng.uniform(0.2, 1)))
            m.x[i, 1].setub(float(rng.uniform(0.2, 1)))
        elif boxes == "fixed":
            m.x[i, 1].fix(0.2 * (i % 3))
    if kind == "indexed":
        m.nn = ReLUNetworkBlock(
            m.I,
            network=one,
            inputs=lambda i: [m.x[i, 0], m.x[i, 1]],
            outputs=lambda i: [m.y[i]],
        )
    else:
        for i in m.I:
            block = ReLUNetworkBlock(
                network=(one, twin)[i % 2],
                inputs=[m.x[i, 0], m.x[i, 1]],
                outputs=[m.y[i]],
            )
            m.add_component(f"nn{i}", block)
    m.link = pyo.Constraint(expr=sum(m.x[i, 0] for i in m.I) >= 0.3 * N)
    m.objective = pyo.Objective(expr=sum((1 + 0.2 * i) * m.y[i] for i in m.I))
    return m


def blocks(m):
    return [m.component(f"nn{i}") or m.nn[i] for i in m.I]


def assert_equal_bounds(mine, other):
    for side in ("lower", "upper", "source"):
        for a, b in zip(getattr(mine, side), getattr(other, side), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["indexed", "separate"])
@pytest.mark.parametrize("boxes", ["same", "nested", "fixed"])
@pytest.mark.parametrize("name", ["relu.bounds", "relu.obbt"])
def test_shared_bounds_are_those_of_each_block_alone(kind, boxes, name):
    m = many(kind, boxes)
    alone = [tighten_alone(block, name) for block in blocks(m)]
    pyo.TransformationFactory(name).apply_to(m)
    found = [block.record.bounds for block in blocks(m)]
    for mine, other in zip(found, alone, strict=True):
        assert_equal_bounds(mine, other)
    distinct = {"same": 1, "nested": N, "fixed": 3}[boxes]
    assert len({id(b) for b in found}) == distinct
    last = blocks(m)[-1].record.statistics
    shared = [n for n in last.notes if "bounded once for all blocks like" in n]
    assert len(shared) == (distinct < N)


def tighten_alone(block, name):
    methods = {} if name == "relu.obbt" else {"methods": ("interval", "crown", "split")}
    return tighten(block.network, *block.input_box(), **methods)[0]


@pytest.mark.parametrize("kind", ["indexed", "separate"])
def test_reversing_and_refreshing_a_block_leaves_the_others(kind):
    m = many(kind)
    first, *others = blocks(m)
    transformation = pyo.TransformationFactory("relu.bounds")
    before = [(v.lb, v.ub) for v in m.component_data_objects(pyo.Var)]
    tokens = [transformation.apply_to(m, targets=[b]) for b in blocks(m)]
    transformation.apply_to(m, reverse=tokens[0])
    assert first.record.bounds is None
    assert all(b.record.bounds is not None for b in others)
    for token in tokens[1:]:
        transformation.apply_to(m, reverse=token)
    assert before == [(v.lb, v.ub) for v in m.component_data_objects(pyo.Var)]
    transformation.apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    kept = others[0].record.encoding.bounds
    m.x[0, 0].setub(2.0)
    first.refresh()
    assert first.record.encoding.bounds.input_upper[0] == 2.0
    assert_equal_bounds(others[0].record.encoding.bounds, kept)
    big = many(kind)
    big.x[0, 0].setub(2.0)
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-6)


@pytest.mark.parametrize("boxes", ["same", "nested", "fixed"])
def test_cells_start_alike_and_go_their_own_ways(boxes):
    m, big = many(boxes=boxes), many(boxes=boxes)
    pyo.TransformationFactory("relu.cells").apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-6)
    for block in blocks(m):
        block.initialize()
    assert violations(m) == []


@pytest.mark.parametrize("boxes", ["same", "nested"])
def test_unguided_cells_are_those_of_each_block_alone(boxes):
    m = many(boxes=boxes)
    cells = pyo.TransformationFactory("relu.cells")
    cells.apply_to(m, guided=False, max_cells=24)
    found = [cells.get_cells(block) for block in blocks(m)]
    for i in (0, N - 1):
        alone = many(boxes=boxes)
        cells.apply_to(alone, guided=False, max_cells=24, targets=[alone.nn[i]])
        for mine, other in zip(found[i], cells.get_cells(alone.nn[i]), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-12)


def test_splitting_together_is_splitting_each():
    network = chain([2, 8, 6, 2], seed=1)
    rng = np.random.default_rng(2)
    boxes = [(-rng.uniform(0.2, 1, 2), rng.uniform(0.2, 1, 2)) for _ in range(5)]
    bounds = [crown_bounds(network, *box) for box in boxes]
    together, alone = ([CellPartition(b) for b in bounds] for _ in range(2))
    for _ in range(3):
        chosen = [p.worst(50, 1e-6)[: 1 + i] for i, p in enumerate(together)]
        chosen[2] = chosen[2][:0]
        counts = split_together(
            [(p, at, None) for p, at in zip(together, chosen, strict=True)]
        )
        assert counts == [p.split(at) for p, at in zip(alone, chosen, strict=True)]
    for mine, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(mine.lower, other.lower)
        np.testing.assert_allclose(mine.upper, other.upper)
        # no weaker: a neuron that is unstable in any box of the batch is passed back
        for a, b in zip(mine.lowers, other.lowers, strict=True):
            assert np.all(a >= b - 1e-12)
        for a, b in zip(mine.uppers, other.uppers, strict=True):
            assert np.all(a <= b + 1e-12)
        X = rng.uniform(size=(len(mine), 2)) * (mine.upper - mine.lower) + mine.lower
        y, (A, c, B, d) = network.forward(X), mine.lines
        assert np.all(np.einsum("con,cn->co", A, X) + c <= y)
        assert np.all(np.einsum("con,cn->co", B, X) + d >= y)


def test_a_copied_partition_is_on_its_own():
    partition = CellPartition(crown_bounds(chain([2, 8, 6, 1], seed=1), -1.0, 1.0))
    partition.refine(6)
    other, lower = partition.copy(), partition.lower.copy()
    other.refine(20)
    other.merge(3, lambda boxes: boxes.gaps(other.weight))
    assert len(partition) == 6
    np.testing.assert_array_equal(partition.lower, lower)


@pytest.mark.parametrize("boxes", ["same", "nested"])
def test_networks_that_restrict_nothing_else_are_left_out_of_lps(boxes):
    m, tied = many(boxes=boxes), many(boxes=boxes)
    # the same rows with a bound that binds: then all networks stay in
    for model in (m, tied):
        model.more = pyo.Constraint(expr=model.y[0] <= 1e3)
    tied.rows = pyo.Constraint(tied.I, rule=lambda m, i: m.y[i] <= 1e3)
    for model in (m, tied):
        pyo.TransformationFactory("relu.obbt").apply_to(model, scope="model")
    for mine, other in zip(blocks(m), blocks(tied), strict=True):
        a, b = mine.record.model_bounds, other.record.model_bounds
        for k in range(len(a.lower)):
            width = b.upper[k] - b.lower[k]
            assert np.all(a.lower[k] >= b.lower[k] - 1e-7 * (1 + width))
            assert np.all(a.upper[k] <= b.upper[k] + 1e-7 * (1 + width))


def test_refinement_that_ends_for_its_work_is_exact(monkeypatch, caplog):
    monkeypatch.setattr(refinement, "_LARGE", 0)
    monkeypatch.setattr(refinement, "_WORK", 1)
    m, big = many(boxes="nested"), many(boxes="nested")
    with caplog.at_level("INFO", "pyomo.relu"):
        pyo.TransformationFactory("relu.cells").apply_to(m, max_cells=40)
    assert "(work, relaxation" in caplog.text
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-6)
