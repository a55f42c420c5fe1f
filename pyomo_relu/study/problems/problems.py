"""The benchmark functions whose surrogates are optimised: formula, box, minima.

No training and no modelling in here; numpy only.
"""

import re
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A function on a box with known global minima.

    Parameters
    ----------
    name : str
    function : callable
        Maps an array (N, dimension) to (N,).
    lower, upper : tuple of float
        The box.
    minimum : float
        Global minimum on the box.
    minimisers : tuple of tuple of float
        All global minimisers, to the digits published.
    """

    name: str
    function: callable = field(repr=False)
    lower: tuple
    upper: tuple
    minimum: float
    minimisers: tuple

    @property
    def dimension(self):
        """Number of inputs."""
        return len(self.lower)

    def __call__(self, X):
        """Values at the points ``X``: (N, dimension) to (N,); one point to a float."""
        X = np.asarray(X, dtype=float)
        if X.shape[-1:] != (self.dimension,) or X.ndim > 2:
            raise ValueError(
                f"{self.name}: expected points of shape (N, {self.dimension}), "
                f"got {X.shape}."
            )
        values = self.function(np.atleast_2d(X))
        return float(values[0]) if X.ndim == 1 else values

    def latin_hypercube(self, n, seed=0):
        """``n`` Latin-hypercube points in the box, shape (n, dimension)."""
        from scipy.stats import qmc

        sampler = qmc.LatinHypercube(self.dimension, rng=np.random.default_rng(seed))
        return qmc.scale(sampler.random(n), self.lower, self.upper)


def _peaks(X):
    x, y = X.T
    return (
        3 * (1 - x) ** 2 * np.exp(-(x**2) - (y + 1) ** 2)
        - 10 * (x / 5 - x**3 - y**5) * np.exp(-(x**2) - y**2)
        - np.exp(-((x + 1) ** 2) - y**2) / 3
    )


def _himmelblau(X):
    x, y = X.T
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _ackley(X):
    return (
        -20 * np.exp(-0.2 * np.sqrt(np.mean(X**2, axis=1)))
        - np.exp(np.mean(np.cos(2 * np.pi * X), axis=1))
        + np.e
        + 20
    )


def peaks():
    """MATLAB's peaks function on [-2, 2]^2."""
    return Problem(
        "peaks", _peaks, (-2.0, -2.0), (2.0, 2.0), -6.5511333, ((0.22828, -1.62554),)
    )


def himmelblau():
    """Himmelblau's function on [-5, 5]^2: four global minima of value 0."""
    return Problem(
        "himmelblau",
        _himmelblau,
        (-5.0, -5.0),
        (5.0, 5.0),
        0.0,
        (
            (3.0, 2.0),
            (-2.805118, 3.131313),
            (-3.779310, -3.283186),
            (3.584428, -1.848127),
        ),
    )


def ackley(dimension=2):
    """Ackley's function on [-3.5, 3.5]^dimension; minimum 0 at the origin."""
    if dimension < 1:
        raise ValueError(f"ackley: the dimension must be positive, not {dimension}.")
    return Problem(
        f"ackley{dimension}",
        _ackley,
        (-3.5,) * dimension,
        (3.5,) * dimension,
        0.0,
        ((0.0,) * dimension,),
    )


#: Seconds of one step of the pendulum.
STEP = 0.25


def _pendulum(X):
    angle, speed, torque = X.T
    return STEP * (torque - 4 * np.sin(angle) - 0.5 * speed * np.abs(speed))


def pendulum():
    """Change of speed of a pendulum with drag in one step of ``STEP`` seconds.

    Inputs: angle from the lower rest in radians, speed in radians per second, torque
    per inertia in radians per second squared.  The angle then moves by
    ``STEP * new speed``.  The change falls in angle and speed and grows in torque, so
    its minimum lies in a corner.
    """
    lower, upper = (-1.5, -3.0, -3.0), (1.5, 3.0, 3.0)
    corner = (upper[0], upper[1], lower[2])
    least = float(_pendulum(np.array([corner]))[0])
    return Problem("pendulum", _pendulum, lower, upper, least, (corner,))


def problem(name):
    """The problem called ``name``: peaks, himmelblau, pendulum or ackley<dimension>."""
    if name == "peaks":
        return peaks()
    if name == "himmelblau":
        return himmelblau()
    if name == "pendulum":
        return pendulum()
    found = re.fullmatch(r"ackley([1-9]\d*)", str(name), re.ASCII)
    if found:
        return ackley(int(found[1]))
    raise ValueError(
        f"unknown problem '{name}'. Choose peaks, himmelblau, pendulum, "
        "ackley<dimension>, for example ackley2, or, as a benchmark, control or oil."
    )
