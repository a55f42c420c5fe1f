"""Tangents on one box hold at all of its points, and cut off what they are asked to."""

import numpy as np
import pytest

from pyomo_relu.linear.atoms.atom import OneColumn, Product
from pyomo_relu.linear.atoms.shapes import SHAPES, Power
from pyomo_relu.linear.atoms.tangents import Tangents


def atoms_between():
    """A square, an exponential, a root and a product of columns 0 to 2."""
    return [
        OneColumn("square", [0], [3], np.array([2.0]), 4.0, Power(2)),
        OneColumn("exp", [1], [4], None, 1.0, SHAPES["exp"]),
        OneColumn("root", [2], [5], None, 1.0, Power(0.5)),
        Product("product", [0, 1], [6]),
    ]


def box():
    lower = np.array([-1.5, -2.0, 0.5, *[-np.inf] * 4])
    upper = np.array([2.0, 1.0, 3.0, *[np.inf] * 4])
    return lower, upper


def completed(points):
    for atom in atoms_between():
        points[:, atom.outputs] = atom.values(points[:, atom.inputs])
    return points


def random_points(rng, n):
    lower, upper = box()
    points = np.zeros((n, 7))
    points[:, :3] = rng.uniform(lower[:3], upper[:3], (n, 3))
    return points


@pytest.mark.parametrize("seed", range(4))
def test_rows_hold_and_cut_off(seed):
    rng = np.random.default_rng(seed)
    tangents, true = (
        Tangents(atoms_between(), *box()),
        completed(random_points(rng, 3000)),
    )
    wrong = completed(random_points(rng, 5))
    wrong[:, 3:6] += [-0.3, -0.2, 0.2]
    for matrix, lower, upper in (tangents.first(), tangents.violated(wrong, 1e-6)):
        assert matrix.shape[0] == lower.size == upper.size > 0
        values = (matrix @ true.T).T
        assert (values >= lower).all() and (values <= upper).all()
    # each of the last rows is violated by one of the points, and all points by one
    off = np.maximum(lower - (matrix @ wrong.T).T, (matrix @ wrong.T).T - upper)
    assert (off > 1e-6).any(axis=0).all() and (off > 1e-6).any(axis=1).all()


def test_true_points_violate_nothing():
    tangents = Tangents(atoms_between(), *box())
    points = completed(random_points(np.random.default_rng(0), 50))
    matrix, lower, upper = tangents.violated(points, 1e-9)
    assert matrix.shape == (0, 7) and not lower.size and not upper.size


def test_first_rows_come_once():
    matrix, lower, _ = Tangents(atoms_between()[:1], *box()).first()
    rows = np.column_stack([matrix.toarray(), lower])
    assert len(np.unique(rows, axis=0)) == len(rows)
