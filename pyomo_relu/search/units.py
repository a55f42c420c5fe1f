r"""Unit range of a linear model around networks, and what feasible means in it.

A point is feasible if in unit range (``bounds.unit_range``) nothing is violated by more
than ``FEASIBILITY``: no bound relative to the column's size, no row relative to its
coefficients times the columns' sizes, no network's output relative to the output's
reach, no integer column by itself.  Sizes within ``BAND`` of 1 count as 1.  Where a
column is far beyond its size, the excess counts as well: numbers cannot be met better
than relative to themselves.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.propagation import propagate
from pyomo_relu.linear.unit_range import BAND, UnitRange, range_sizes
from pyomo_relu.network.network import Network
from pyomo_relu.network.scaling import scaled_layers

#: Largest violation of a feasible point, in unit range.
FEASIBILITY = 1e-6

#: Points at which networks are evaluated to see how far their outputs reach.
_SAMPLES = 64


@dataclass(frozen=True)
class Units:
    """Factors of columns, rows and objective, all powers of two.

    Parameters
    ----------
    columns : numpy.ndarray, shape (n,)
        A column is its factor times the one in unit range.
    rows : numpy.ndarray, shape (m,)
        A row is its factor times the one in unit range.
    objective : float
    """

    columns: np.ndarray
    rows: np.ndarray
    objective: float = 1.0

    @property
    def identity(self):
        """True if everything is in unit range already."""
        return bool(self.objective == 1.0 and np.all(self.columns == 1.0)) and np.all(
            self.rows == 1.0
        )

    @classmethod
    def ones(cls, linear):
        """Of a model that is in unit range."""
        return cls(np.ones(linear.n_columns), np.ones(linear.n_rows))

    def networks(self, networks, inputs, outputs):
        """The networks between columns in unit range; exact, for powers of two."""
        found = []
        for network, read, written in zip(networks, inputs, outputs, strict=True):
            c, d = self.columns[read], self.columns[written]
            if np.any(c != 1.0) or np.any(d != 1.0):
                layers = scaled_layers(network, (0.0, 1.0 / c), (0.0, 1.0 / d))
                network = Network(layers, network.inputs, network.outputs, network.name)
            found.append(network)
        return found

    def violation(self, linear, networks, inputs, outputs, points):
        """Largest violation at each point, in unit range; see the module.

        Parameters
        ----------
        linear : LinearModel
        networks : sequence of Network
        inputs, outputs : sequence of numpy.ndarray of int
        points : numpy.ndarray, shape (N, n)
            Not in unit range.

        Returns
        -------
        numpy.ndarray, shape (N,)
            Infinite where a point is not finite.
        """
        finite = np.isfinite(points).all(axis=1)
        points = np.where(finite[:, None], points, 0.0)
        far = np.maximum(np.abs(points) - BAND * self.columns, 0.0)
        worst = _excess(points, linear.lower, linear.upper, self.columns + far)
        if linear.n_rows:
            size = np.broadcast_to(self.rows, (len(points), linear.n_rows))
            if far.any():
                size = size + (abs(linear.matrix) @ far.T).T
            values = (linear.matrix @ points.T).T
            of_rows = _excess(values, linear.row_lower, linear.row_upper, size)
            worst = np.maximum(worst, of_rows)
        whole = points[:, linear.integer]
        off = [np.abs(whole - np.round(whole))]
        for network, read, written in zip(networks, inputs, outputs, strict=True):
            error = np.abs(network.forward(points[:, read]) - points[:, written])
            off.append(error / (self.columns + far)[:, written])
        for part in off:
            worst = np.maximum(worst, part.max(axis=1, initial=0.0))
        return np.where(finite, worst, np.inf)


def _excess(values, lower, upper, size):
    """Largest excess over [lower, upper] per row of ``values``, relative to ``size``."""
    excess = np.maximum(lower - values, values - upper) / size
    return np.maximum(0.0, excess).max(axis=1, initial=0.0)


def in_unit_range(linear, costs, networks, inputs, outputs):
    """A linear model around networks in unit range.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n,)
    networks : sequence of Network
        Each after those whose outputs it reads, as far as possible.
    inputs, outputs : sequence of numpy.ndarray of int
        Columns of each network.

    Returns
    -------
    units : Units
    linear : LinearModel
        In unit range; the given one where nothing is to be scaled.
    costs : numpy.ndarray, shape (n,)
    """
    given = network_sizes(linear, networks, inputs, outputs)
    scaled = UnitRange(linear, given)
    costs, objective = scaled.costs(np.arange(linear.n_columns), costs)
    return Units(scaled.columns, scaled.rows, objective), scaled.model, costs


def network_sizes(linear, networks, inputs, outputs):
    """Sizes of networks' inputs and outputs, NaN elsewhere and where unknown.

    Inputs count by their bounds and what single rows imply, outputs by the range that
    they reach at some points of the inputs' box.
    """
    try:
        lower, upper = propagate(linear) if linear.n_rows else (None, None)
    except InfeasibleError:  # for others to find
        lower = None
    if lower is None:
        lower, upper = linear.lower, linear.upper
    given = np.full(linear.n_columns, np.nan)
    rng = np.random.default_rng(0)
    ended = np.isfinite(lower) & np.isfinite(upper)
    low, high = np.where(ended, lower, 0.0), np.where(ended, upper, 0.0)
    points = low + rng.random((_SAMPLES, low.size)) * (high - low)
    for network, read, written in zip(networks, inputs, outputs, strict=True):
        box = read[ended[read] & np.isnan(given[read])]
        given[box] = range_sizes(lower[box], upper[box])
        if not ended[read].all():
            continue
        values = network.forward(points[:, read])
        if np.isfinite(values).all():
            points[:, written] = values
            ended[written] = True
            given[written] = range_sizes(values.min(axis=0), values.max(axis=0))
    given[given == 0] = 1.0
    return given
