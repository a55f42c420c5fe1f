"""A property of a network: boxes of the inputs and linear conditions on its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyomo_relu.common.types import FloatArray


@dataclass(frozen=True)
class Case:
    """A box of the inputs and rows that must all hold: one disjunct of a property.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (n_inputs,)
    rows : numpy.ndarray of int
        Positions among the property's rows.
    """

    lower: FloatArray
    upper: FloatArray
    rows: NDArray[np.intp]


@dataclass(frozen=True)
class Property:
    """A set of inputs and outputs: points that lie in one of the cases.

    Row i says ``inputs[i] x + outputs[i] y + constants[i] <= 0``, y being the network's
    outputs at x.

    Attributes
    ----------
    name : str
        Of the file.
    inputs : numpy.ndarray, shape (n_rows, n_inputs)
    outputs : numpy.ndarray, shape (n_rows, n_outputs)
    constants : numpy.ndarray, shape (n_rows,)
    cases : list of Case
        None if the conditions on the inputs contradict each other.
    """

    name: str
    inputs: FloatArray
    outputs: FloatArray
    constants: FloatArray
    cases: list[Case]

    @property
    def n_inputs(self) -> int:
        """Number of inputs declared."""
        return self.inputs.shape[1]

    @property
    def n_outputs(self) -> int:
        """Number of outputs declared."""
        return self.outputs.shape[1]

    def values(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Left-hand sides of all rows at points, shape (N, n_rows)."""
        return X @ self.inputs.T + Y @ self.outputs.T + self.constants

    def margin(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Least over the cases of the largest left-hand side; inf outside all boxes.

        A point has the property where this is at most 0.

        Parameters
        ----------
        X : numpy.ndarray, shape (N, n_inputs)
        Y : numpy.ndarray, shape (N, n_outputs)

        Returns
        -------
        numpy.ndarray, shape (N,)
        """
        return self.margin_of(X, self.values(X, Y))

    def margin_of(self, X: FloatArray, values: FloatArray) -> FloatArray:
        """As ``margin``, from the rows' left-hand sides, shape (N, n_rows)."""
        result = np.full(len(X), np.inf)
        for case in self.cases:
            worst = values[:, case.rows].max(axis=1, initial=-np.inf)
            inside = ((case.lower <= X) & (case.upper >= X)).all(axis=1)
            result = np.where(inside, np.minimum(result, worst), result)
        return result
