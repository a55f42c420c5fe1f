"""Parts of a model: they cover it, share nothing, and their objectives add up."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.linear.components import components
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.networks import chain


def random_embedded(seed):
    """Some networks, sparse rows, fixed columns, costs everywhere."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(8, 20)), int(rng.integers(0, 8))
    lower, upper = -rng.random(n), rng.random(n)
    fixed = rng.random(n) < 0.3
    upper[fixed] = lower[fixed]
    matrix = sparse.random_array((m, n), density=2.0 / n, rng=rng, format="csr")
    functions, free = [], rng.permutation(n)
    for k in range(int(rng.integers(1, 4))):
        outputs = free[k : k + 1]
        inputs = rng.choice(np.setdiff1d(np.arange(n), outputs), 2, replace=False)
        functions.append(EmbeddedNetwork(chain([2, 3, 1], seed=k), inputs, outputs))
    linear = LinearModel(
        matrix, np.full(m, -1.0), np.full(m, 1.0), lower, upper, rng.random(n) < 0.3
    )
    return EmbeddedModel(linear, functions, rng.normal(size=n), 2.5)


@pytest.mark.parametrize("seed", range(60))
def test_parts_are_the_whole(seed):
    model = random_embedded(seed)
    parts = components(model)
    linear, free = model.linear, model.linear.lower < model.linear.upper
    owners = np.bincount(
        np.concatenate([p.columns for p in parts]), minlength=model.n_columns
    )
    assert np.all(owners >= 1) and np.all(owners[free] == 1)
    assert sum(p.model.linear.n_rows for p in parts) == linear.n_rows
    assert sum(len(p.model.functions) for p in parts) == len(model.functions)
    X = np.random.default_rng(seed).uniform(
        linear.lower, linear.upper, (20, owners.size)
    )
    total = sum(p.model.objective(X[:, p.columns]) for p in parts)
    assert total == pytest.approx(model.objective(X))
    rows = [p.model.linear.matrix @ X[:, p.columns].T for p in parts]
    assert np.sort(np.vstack(rows), axis=0) == pytest.approx(
        np.sort(linear.matrix @ X.T, axis=0)
    )
    for p in parts:
        for f in p.model.functions:
            original = next(g for g in model.functions if g.name == f.name)
            assert p.columns[f.inputs].tolist() == original.inputs.tolist()


def test_a_connected_model_is_one_part():
    n = 4
    linear = LinearModel(np.ones((1, n)), [0.0], [1.0], np.zeros(n), np.ones(n))
    model = EmbeddedModel(linear, costs=np.ones(n))
    (part,) = components(model)
    assert part.model is model
    assert part.columns.tolist() == list(range(n))
