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

    #: Whether rows of the linear model say all that lines would.
    by_rows = False

    def __post_init__(self):
        set_ = object.__setattr__
        set_(self, "inputs", np.asarray(self.inputs, dtype=int))
        set_(self, "outputs", np.asarray(self.outputs, dtype=int))
        if self.scale is None:
            set_(self, "scale", np.ones(self.inputs.size))

    @property
    def kind(self):
        """What atoms share that ``Alike`` evaluates together; None for one alone."""
        return type(self)

    def values(self, X):
        """Outputs, shape (N, 1), at inputs of shape (N, n_inputs); NaN if undefined."""
        return Alike([self]).values(X[:, None])

    def gradient(self, x):
        """Derivatives along the inputs, shape (n_inputs,), at one point of them."""
        return Alike([self]).gradients(x[None])[0]

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
        """Values, shape (...), at arguments of shape (..., n_inputs)."""
        raise NotImplementedError

    def _slopes(self, X):
        """Derivatives, shape (..., n_inputs), at arguments of that shape."""
        raise NotImplementedError


class Alike:
    """Atoms of one ``kind``, evaluated together.

    Parameters
    ----------
    atoms : sequence of Atom
    """

    def __init__(self, atoms):
        self._first = atoms[0]
        self._scale = np.stack([a.scale for a in atoms])
        self._size = np.array([a.size for a in atoms])

    def values(self, X):
        """Outputs, shape (N, k), at inputs of shape (N, k, n_inputs); NaN if undefined."""
        with np.errstate(all="ignore"):
            value = self._first._value(X * self._scale)
            return np.where(np.isfinite(value), value, np.nan) / self._size

    def gradients(self, X):
        """Derivatives along the inputs, at inputs of shape (k, n_inputs), and of it."""
        with np.errstate(all="ignore"):
            slopes = self._first._slopes(X * self._scale) * self._scale
            slopes = slopes / self._size[:, None]
        return np.where(np.isfinite(slopes), slopes, 0.0)


class Product(Atom):
    """The product of two different columns."""

    def _value(self, X):
        return X[..., 0] * X[..., 1]

    def _slopes(self, X):
        return X[..., ::-1]


class Quotient(Atom):
    """The first column divided by the second."""

    def _value(self, X):
        return X[..., 0] / X[..., 1]

    def _slopes(self, X):
        a, b = X[..., 0], X[..., 1]
        return np.stack([1.0 / b, -a / b**2], axis=-1)


@dataclass(frozen=True, eq=False)
class OneColumn(Atom):
    """A Shape of one column.

    Parameters
    ----------
    shape : Shape
    """

    shape: Shape = None

    @property
    def kind(self):
        """See Atom.kind."""
        return self.shape.key

    def _value(self, X):
        return self.shape.value(X[..., 0])

    def _slopes(self, X):
        return self.shape.slope(X)


@dataclass(frozen=True, eq=False)
class Sum(Atom):
    """``coefficients . inputs + constant``: a name for a linear form.

    A row of the linear model says the same, so no lines are needed.
    """

    coefficients: np.ndarray = None
    constant: float = 0.0

    by_rows = True

    @property
    def kind(self):
        """See Atom.kind."""
        return None

    def _value(self, X):
        return X @ self.coefficients + self.constant

    def _slopes(self, X):
        return np.broadcast_to(self.coefficients, X.shape)


@dataclass(frozen=True, eq=False)
class Checked(Atom):
    """An atom whose value only has to be right, and defined, at points.

    What its lines would say of other columns is said by rows, or nothing reads it.

    Parameters
    ----------
    of : Atom
        Of the same inputs and output.
    reach : float
        What its value is compared with; where it goes beyond, that does not make a row
        with it the easier to meet.
    """

    of: Atom = None
    reach: float = np.inf

    by_rows = True

    @property
    def kind(self):
        """See Atom.kind."""
        return None

    def in_units(self, columns):
        """See Atom.in_units."""
        reach = self.reach / float(columns[self.outputs[0]])
        return replace(super().in_units(columns), reach=reach)

    def _value(self, X):
        return self.of._value(X)

    def _slopes(self, X):
        return self.of._slopes(X)
