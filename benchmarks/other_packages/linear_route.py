"""What routes of other packages share: a model read as rows, columns and networks."""

import importlib.util
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.network.layer import Source


class Answer(NamedTuple):
    """What a package's solver said, of the minimised objective.

    Attributes
    ----------
    status : str
        As Pyomo's termination conditions; "licence" or "not read" where the solver or
        the package refuses the model.
    bound : float or None
    point : numpy.ndarray or None
        Values of the linear model's columns.
    """

    status: str
    bound: float | None = None
    point: np.ndarray | None = None


class OtherPackage(ABC):
    """A package that encodes chains of dense ReLU layers for a solver, one thread.

    Parameters
    ----------
    gap : float
        Relative gap.
    """

    #: What is said of it where it is not installed, and modules that it needs.
    solver: str
    modules: tuple[str, ...]

    def __init__(self, gap):
        self.gap = gap

    @property
    def registered(self):
        """Whether the package and its solver are installed."""
        return all(map(importlib.util.find_spec, self.modules))

    def run(self, model, limit):
        """Solve the model, whose Vars are set; see ``comparison.route.Route.run``."""
        read = read_model(model)
        embedded = read.problem.original
        if not all(map(_is_chain, embedded.functions)):
            return "not read", None, False
        answer = self.solve(embedded, limit)
        sign = -1.0 if read.maximise else 1.0
        bound = None if answer.bound is None else sign * answer.bound
        if answer.point is None:
            return answer.status, bound, False
        full = np.array(answer.point, dtype=float)
        integer = embedded.linear.integer
        full[integer] = np.round(full[integer])
        for var, value in read.values(full):
            var.set_value(value, skip_validation=True)
        return answer.status, bound, True

    @abstractmethod
    def solve(self, embedded, limit):
        """The Answer of the package on an EmbeddedModel within ``limit`` seconds."""


def sides(linear):
    """[(matrix, right side, sign)] of rows ``sign * matrix x >= sign * side``."""
    found = []
    for side, sign in ((linear.row_lower, 1.0), (linear.row_upper, -1.0)):
        some = np.isfinite(side)
        if some.any():
            found.append((linear.matrix[some], side[some], sign))
    return found


def _is_chain(function):
    """Whether it is a network of dense layers, one after the other, plain ReLU."""
    if not isinstance(function, EmbeddedNetwork):
        return False
    layers = function.network.layers
    return all(
        layer.sources == (Source(k - 1),)
        and layer.activation in ("relu", "identity")
        and layer.ceiling is None
        for k, layer in enumerate(layers)
    )
