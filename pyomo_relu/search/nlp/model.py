"""An EmbeddedModel as a Pyomo model for NLP solvers, apart from the modeller's.

Columns are Vars, rows and atoms are Constraints, networks are blocks encoded by
``relu.complementarity``: products of two factors of which one is zero let a local solver
move from one activation pattern to another, which programmes in one region cannot.
"""

from dataclasses import replace

import numpy as np
import pyomo.core.base as pyo
from pyomo.core.expr import LinearExpression, cos, exp, log, sin, tanh

from pyomo_relu.block.block import ReLUNetworkBlock
from pyomo_relu.block.values import initialize_blocks
from pyomo_relu.linear.atoms.atom import Checked, OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.atoms.shapes import XLogX
from pyomo_relu.linear.embedded import EmbeddedNetwork

#: How far a column without ends that a network reads may move, in sizes of its start.
_FURTHEST = 10.0

_FUNCTIONS = {"exp": exp, "log": log, "tanh": tanh, "sin": sin, "cos": cos, "abs": abs}


class NLPModel:
    """The model as a local solver gets it.

    Parameters
    ----------
    problem : EmbeddedModel
        In unit range.
    lower, upper : numpy.ndarray, shape (n_columns,)
        Bounds that hold for all columns, of which those of columns that move and of
        networks' inputs are stated.
    moving : numpy.ndarray of int
        Columns that no function computes.
    silent : numpy.ndarray of bool, shape (n_rows,)
        Rows that the functions imply: at a point without an interior along them an
        interior-point method does not find its way.
    starts : numpy.ndarray, shape (N, n_columns)

    Attributes
    ----------
    model : ConcreteModel
    """

    def __init__(self, problem, lower, upper, moving, silent, starts):
        self.problem = problem
        self.model = m = pyo.ConcreteModel()
        self._moves = np.zeros(problem.n_columns, dtype=bool)
        self._moves[moving] = True
        self._integer = np.flatnonzero(problem.linear.integer)
        m.x = pyo.Var(range(problem.n_columns))
        self._columns = list(m.x.values())
        self._networks = [
            f for f in problem.functions if isinstance(f, EmbeddedNetwork)
        ]
        self._set_bounds(lower, upper, starts)
        m.rows = pyo.ConstraintList()
        self._add_rows(~silent)
        m.functions = pyo.ConstraintList()
        for f in problem.functions:
            self._add_atom(f)
        m.networks = ReLUNetworkBlock(
            range(len(self._networks)),
            network=lambda k: self._networks[k].network,
            inputs=lambda k: self._at(self._networks[k].inputs),
            outputs=lambda k: self._at(self._networks[k].outputs),
        )
        if self._networks:
            complementarity = pyo.TransformationFactory("relu.complementarity")
            assert complementarity is not None  # registered with the package
            complementarity.apply_to(m)
        costs = np.flatnonzero(problem.costs)
        m.objective = pyo.Objective(expr=self._linear(problem.costs[costs], costs))

    def _at(self, columns):
        return [self._columns[j] for j in columns]

    def _set_bounds(self, lower, upper, starts):
        linear = self.problem.linear
        stated = self._moves.copy()
        for f in self._networks:
            stated[f.inputs] = True
        low = np.where(stated, lower, linear.lower)
        high = np.where(stated, upper, linear.upper)
        for f in self._networks:
            near, size = starts[:, f.inputs], _FURTHEST * (1 + abs(starts[:, f.inputs]))
            open_low, open_high = (
                ~np.isfinite(low[f.inputs]),
                ~np.isfinite(high[f.inputs]),
            )
            low[f.inputs[open_low]] = (near - size).min(axis=0)[open_low]
            high[f.inputs[open_high]] = (near + size).max(axis=0)[open_high]
        for f in self.problem.functions:
            if isinstance(f, OneColumn):
                ends = np.divide(f.shape.domain, f.scale[0])
                low[f.inputs] = np.maximum(low[f.inputs], ends[0])
                high[f.inputs] = np.minimum(high[f.inputs], ends[1])
        for var, lo, hi in zip(self._columns, low.tolist(), high.tolist(), strict=True):
            var.setlb(_end(lo))
            var.setub(_end(hi))
            if lo == hi:
                var.fix(lo)

    def _linear(self, coefficients, columns, constant=0.0):
        return LinearExpression(
            constant=constant,
            linear_coefs=[float(c) for c in coefficients],
            linear_vars=self._at(columns),
        )

    def _add_rows(self, kept):
        linear = self.problem.linear
        matrix = linear.matrix.tocsr()
        for i in np.flatnonzero(kept):
            part = slice(matrix.indptr[i], matrix.indptr[i + 1])
            low, high = float(linear.row_lower[i]), float(linear.row_upper[i])
            if part.start == part.stop or (low == -np.inf and high == np.inf):
                continue
            body = self._linear(matrix.data[part], matrix.indices[part])
            self.model.rows.add((_end(low), body, _end(high)))

    def _add_atom(self, f):
        if isinstance(f, EmbeddedNetwork):
            return
        x = [
            s * var for s, var in zip(f.scale.tolist(), self._at(f.inputs), strict=True)
        ]
        if isinstance(f, Checked):
            f = replace(f.of, scale=f.scale, size=f.size)
        if isinstance(f, Sum):
            if self._moves[f.outputs[0]]:
                return  # said by a row that is not silent
            value = self._linear(f.coefficients * f.scale, f.inputs, float(f.constant))
        elif isinstance(f, Product):
            value = x[0] * x[1]
        elif isinstance(f, Quotient):
            value = x[0] / x[1]
        elif isinstance(f.shape, XLogX):
            value = x[0] * log(x[0])
        elif f.shape.name in _FUNCTIONS:
            value = _FUNCTIONS[f.shape.name](x[0])
        else:
            value = x[0] ** f.shape.p
        (output,) = self._at(f.outputs)
        self.model.functions.add(f.size * output == value)

    def begin(self, point):
        """Set every Var to a point, neurons to the forward pass; integers stay there.

        Parameters
        ----------
        point : numpy.ndarray, shape (n_columns,)
            With the functions' outputs computed.
        """
        for var, value in zip(self._columns, point.tolist(), strict=True):
            if not var.fixed or var.index() in self._integer:
                var.set_value(value, skip_validation=True)
        for j in self._integer:
            self._columns[j].fix(round(float(point[j])))
        for k, f in enumerate(self._networks):
            initialize_blocks([(self.model.networks[k], point[f.inputs])])

    def values(self):
        """What the columns' Vars hold, shape (n_columns,); NaN where that is nothing."""
        values = [var.value for var in self._columns]
        return np.array([np.nan if v is None else v for v in values], dtype=float)


def _end(value):
    return float(value) if np.isfinite(value) else None
