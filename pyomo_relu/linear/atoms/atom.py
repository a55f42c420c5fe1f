"""Atoms: products, quotients, functions of one number and sums between columns.

They are functions of an ``EmbeddedModel`` like networks: ``name``, ``inputs``,
``outputs``, ``values``, ``in_units``.  In other units than the modeller's an atom keeps
powers of two by which its arguments are multiplied and its value divided, so that
nothing is rounded by it.
"""

from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.linear.atoms.shapes import Shape


@dataclass(frozen=True, eq=False)
class Atom:
    """A function of some columns whose value is a column.

    Parameters
    ----------
    name : str
        For messages: what it stands for in the modeller's terms.
    inputs, outputs : numpy.ndarray of int
        Columns; one output.
    scale : numpy.ndarray, shape (n_inputs,), optional
        The arguments are the inputs times these powers of two.
    size : float
        The output is the value divided by this power of two.
    """

    name: str
    inputs: np.ndarray
    outputs: np.ndarray
    scale: np.ndarray = None
    size: float = 1.0

    def __post_init__(self):
        set_ = object.__setattr__
        set_(self, "inputs", np.asarray(self.inputs, dtype=int))
        set_(self, "outputs", np.asarray(self.outputs, dtype=int))
        if self.scale is None:
            set_(self, "scale", np.ones(self.inputs.size))

    def values(self, X):
        """Outputs, shape (N, 1), at inputs of shape (N, n_inputs); NaN if undefined."""
        with np.errstate(all="ignore"):
            value = self._value(X * self.scale)
            return np.where(np.isfinite(value), value, np.nan)[:, None] / self.size

    def gradient(self, x):
        """Derivatives along the inputs, shape (n_inputs,), at one point of them."""
        with np.errstate(all="ignore"):
            slopes = self._slopes(x * self.scale) * self.scale / self.size
        return np.where(np.isfinite(slopes), slopes, 0.0)

    def in_units(self, columns):
        """The atom between columns divided by powers of two; without rounding."""
        return replace(
            self,
            scale=self.scale * columns[self.inputs],
            size=self.size * float(columns[self.outputs[0]]),
        )

    def between(self, place):
        """The same atom with column j renamed to ``place[j]``."""
        return replace(self, inputs=place[self.inputs], outputs=place[self.outputs])

    def _value(self, X):
        raise NotImplementedError

    def _slopes(self, x):
        raise NotImplementedError


class Product(Atom):
    """The product of two different columns."""

    def _value(self, X):
        return X[:, 0] * X[:, 1]

    def _slopes(self, x):
        return x[::-1].copy()


class Quotient(Atom):
    """The first column divided by the second."""

    def _value(self, X):
        return X[:, 0] / X[:, 1]

    def _slopes(self, x):
        return np.array([1.0 / x[1], -x[0] / x[1] ** 2])


@dataclass(frozen=True, eq=False)
class OneColumn(Atom):
    """A Shape of one column.

    Parameters
    ----------
    shape : Shape
    """

    shape: Shape = None

    def _value(self, X):
        return self.shape.value(X[:, 0])

    def _slopes(self, x):
        return np.atleast_1d(self.shape.slope(x[0]))


@dataclass(frozen=True, eq=False)
class Sum(Atom):
    """``coefficients . inputs + constant``: a name for a linear form.

    A row of the linear model says the same, so no lines are needed.
    """

    coefficients: np.ndarray = None
    constant: float = 0.0

    def _value(self, X):
        return X @ self.coefficients + self.constant

    def _slopes(self, x):
        return self.coefficients
