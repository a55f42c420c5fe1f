"""Atoms of one kind compute together what each of them computes alone."""

import numpy as np
import pytest

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.atoms.shapes import SHAPES, Power
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.linear.evaluation import Evaluation, Gradients
from pyomo_relu.linear.model import LinearModel

#: Columns that atoms read; the others hold their values.
READ = 4

STEP, N = 1e-6, 7


def some_atoms(seed):
    """Several atoms of every kind, in random order and in units of their own."""
    rng, atoms = np.random.default_rng(seed), []
    shapes = [*SHAPES.values(), Power(2), Power(0.5), Power(-1)]
    for name in range(3 * (len(shapes) + 3)):
        kind, at = name % (len(shapes) + 3), rng.permutation(READ)
        out = [READ + name]
        if kind < len(shapes):
            atoms.append(OneColumn(str(name), at[:1], out, shape=shapes[kind]))
        elif kind == len(shapes) + 2:
            atoms.append(Sum(str(name), at, out, coefficients=rng.normal(size=READ)))
        else:
            of_two = Product if kind == len(shapes) else Quotient
            atoms.append(of_two(str(name), at[:2], out))
    units = 2.0 ** rng.integers(-3, 4, READ + len(atoms))
    return [atoms[i].in_units(units) for i in rng.permutation(len(atoms))]


def by_hand(atom, x):
    """One atom's value at one point, from what it says it is."""
    arguments = x[atom.inputs] * atom.scale
    if isinstance(atom, Product):
        value = arguments[0] * arguments[1]
    elif isinstance(atom, Quotient):
        value = arguments[0] / arguments[1]
    elif isinstance(atom, Sum):
        value = atom.coefficients @ arguments
    else:
        value = float(atom.shape.value(arguments)[0])
    return value / atom.size


@pytest.mark.parametrize("seed", range(5))
def test_values_and_slopes_are_each_atoms_own(seed):
    atoms = some_atoms(seed)
    points = np.random.default_rng(seed).uniform(0.2, 1.2, (N, READ + len(atoms)))
    of = {int(a.outputs[0]): a for a in atoms}
    seen = []
    for outputs, values in Evaluation(atoms)(points):
        seen += outputs.tolist()
        for k, j in enumerate(outputs):
            alone = [by_hand(of[j], x) for x in points]
            np.testing.assert_allclose(values[:, k], alone, rtol=1e-13)
    assert sorted(seen) == sorted(of)
    x, slopes = points[0], Gradients(atoms)(points[0])
    for at, atom in enumerate(atoms):
        moved = np.tile(x, (2 * atom.inputs.size, 1))
        for k, j in enumerate(atom.inputs):
            moved[2 * k, j] += STEP
            moved[2 * k + 1, j] -= STEP
        values = np.array([by_hand(atom, y) for y in moved]).reshape(-1, 2)
        found = (values[:, 0] - values[:, 1]) / (2 * STEP)
        np.testing.assert_allclose(slopes[at][0], found, rtol=1e-5, atol=1e-6)


def test_what_is_undefined_is_not_a_number_for_that_atom_alone():
    shape = SHAPES["log"]
    atoms = [OneColumn(str(j), [j], [2 + j], shape=shape) for j in range(2)]
    linear = LinearModel(np.zeros((0, 4)), [], [], np.full(4, -9.0), np.full(4, 9.0))
    x = EmbeddedModel(linear, atoms).complete(np.array([-1.0, 1.0, 5.0, 5.0]))
    assert np.isnan(x[2]) and x[3] == 0.0
