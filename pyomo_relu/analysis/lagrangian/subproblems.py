"""The networks of an ensemble as one MILP each."""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.neuron_bounds import check_box
from pyomo_relu.bounds.obbt.milp_chunk import PADDING
from pyomo_relu.bounds.relaxation.network import affine_costs, relax_window
from pyomo_relu.bounds.tightening import tighten
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import rounding
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session
from pyomo_relu.linear.sessions.session import ask
from pyomo_relu.linear.unit_range import UnitRange, factors, range_sizes


def solve_subproblem(task):
    """Minimise ``costs x`` over one network's MILP; a pure task.

    Parameters
    ----------
    task : (LinearModel, columns, coefficients, solver, limit in seconds or None)

    Returns
    -------
    bound : float
        Proven, padded outward as MILP-based bound tightening pads; infinite if
        infeasible.
    primal : numpy.ndarray or None
    finished : bool
    """
    model, columns, coefficients, solver, limit = task
    with open_session(solver, model, integer=True) as session:
        answer = ask(session, columns, coefficients, limit)
    if answer.status == Status.INFEASIBLE:
        return np.inf, None, True
    bound = answer.dual_bound
    if bound is None and answer.status == Status.OPTIMAL:  # no binaries were left
        bound = answer.objective
    if bound is None:
        bound = _least(model, columns, coefficients)
    bound = bound - PADDING * (answer.unit + abs(bound))
    return bound, answer.primal, answer.status == Status.OPTIMAL


def _least(model, columns, coefficients):
    """``min costs x`` over the column bounds alone: valid where a solver says nothing."""
    ends = np.where(coefficients > 0, model.lower[columns], model.upper[columns])
    with np.errstate(invalid="ignore"):
        terms = np.where(coefficients == 0, 0.0, coefficients * ends)
    return float(terms.sum())


class Ensemble:
    """Networks, their MILPs and their weights, checked to fit together."""

    def __init__(self, networks, lower, upper, weights, neuron_bounds, rows):
        self.networks = list(networks)
        if not self.networks:
            raise BoundsError("Lagrangian bound: there is no network.")
        n = self.networks[0].n_inputs
        for network in self.networks:
            if network.n_inputs != n:
                raise BoundsError(
                    f"Lagrangian bound: '{network.name}' has "
                    f"{counted(network.n_inputs, 'input')}, "
                    f"'{self.networks[0].name}' has {n}; they must share them."
                )
        (self.lower,), (self.upper,) = check_box(self.networks[0], lower, upper)
        self.weights = self._weights(weights)
        self.rows = rows
        #: Of the inputs, and of the least value that counts as a whole one.
        self.units = factors(range_sizes(self.lower, self.upper))
        reach = 0.0
        self.models, self.costs, constant = [], [], 0.0
        for e, bounds in enumerate(self._neuron_bounds(neuron_bounds)):
            model, costs, offset = self._subproblem(e, bounds, rows)
            self.models.append(model)
            self.costs.append(costs)
            constant += offset
            ends = np.maximum(np.abs(bounds.lower[-1]), np.abs(bounds.upper[-1]))
            reach += float(np.abs(self.weights[e]) @ ends)
        self.constant = constant
        self.unit = min(1.0, float(factors(reach)))

    def _weights(self, weights):
        count = len(self.networks)
        if weights is None:
            weights = [1.0 / count] * count
        weights = list(weights)
        if len(weights) != count:
            raise BoundsError(
                f"Lagrangian bound: {counted(count, 'network')} need "
                f"{counted(count, 'weight')}, got {len(weights)}."
            )
        result = []
        for network, c in zip(self.networks, weights, strict=True):
            c = np.asarray(c, dtype=float)
            if c.ndim > 1 or c.size not in (1, network.n_outputs):
                raise BoundsError(
                    f"Lagrangian bound: the weights of '{network.name}' have shape "
                    f"{c.shape}, but it has {counted(network.n_outputs, 'output')}."
                )
            result.append(np.broadcast_to(c, (network.n_outputs,)))
        return result

    def _neuron_bounds(self, neuron_bounds):
        if neuron_bounds is None:
            return [tighten(net, self.lower, self.upper)[0] for net in self.networks]
        neuron_bounds = list(neuron_bounds)
        if len(neuron_bounds) != len(self.networks):
            raise BoundsError(
                f"Lagrangian bound: {counted(len(self.networks), 'network')} need as "
                f"many records of neuron bounds, got {len(neuron_bounds)}."
            )
        for network, bounds in zip(self.networks, neuron_bounds, strict=True):
            if bounds.network != network or not bounds.covers(self.lower, self.upper):
                raise BoundsError(
                    f"Lagrangian bound: the bounds given for '{network.name}' belong "
                    "to another network or were proven on a smaller box."
                )
        return neuron_bounds

    def _subproblem(self, e, bounds, rows):
        network, c = self.networks[e], self.weights[e]
        last = len(network.layers) - 1
        model, columns = relax_window(network, bounds, last, last + 1)
        model = model.replace(
            lower=_placed(model.lower, columns.inputs, self.lower),
            upper=_placed(model.upper, columns.inputs, self.upper),
        )
        if rows is not None:
            model = _with_rows(model, columns.inputs, rows)
        output = network.layers[last]
        costs = affine_costs(output, columns, np.arange(output.size), model.n_columns)
        return model, np.asarray(c @ costs), float(c @ output.bias)

    def costs_with(self, u):
        """Columns and coefficients of every subproblem's objective."""
        for costs, extra in zip(self.costs, u, strict=True):
            costs = costs.copy()
            costs[: extra.size] += extra
            at = np.flatnonzero(costs)
            yield at, costs[at]

    def slack(self, u):
        """Largest ``(sum_e u_e) x`` over the box, with room for its rounding."""
        rest = u.sum(axis=0)
        size = np.maximum(np.abs(self.lower), np.abs(self.upper))
        rest = np.abs(rest) + rounding(np.abs(u).sum(axis=0), operations=len(u))
        return float((rest * size).sum())

    def feasible(self, X, tolerance=1e-6):
        """Which of the points X (N, n_inputs) satisfy the rows, in unit range."""
        if self.rows is None:
            return np.ones(len(X), dtype=bool)
        matrix = np.atleast_2d(np.asarray(self.rows[0], dtype=float))
        lower, upper = (np.broadcast_to(b, len(matrix)) for b in self.rows[1:])
        model = LinearModel(
            sparse.csr_array(matrix), lower, upper, self.lower, self.upper
        )
        slack = tolerance * UnitRange(model).rows
        left = X @ matrix.T
        return ((left >= lower - slack) & (left <= upper + slack)).all(axis=1)

    def values(self, X):
        """The ensemble at the points X: (N, n_inputs) to (N,)."""
        return sum(
            net.forward(X) @ c
            for net, c in zip(self.networks, self.weights, strict=True)
        )


def _placed(array, at, values):
    array = np.array(array)
    array[at] = values
    return array


def _with_rows(model, inputs, rows):
    try:
        given, *ends = rows
        dense = np.atleast_2d(np.asarray(given, dtype=float))
        matrix = sparse.coo_array(dense)
        row_lower, row_upper = (
            np.broadcast_to(np.asarray(end, dtype=float), (dense.shape[0],))
            for end in ends
        )
    except (TypeError, ValueError) as error:
        raise BoundsError(
            "Lagrangian bound: rows must be (matrix, row_lower, row_upper) of numbers, "
            f"a row of the matrix per entry of the others ({error})."
        ) from None
    if dense.shape[1] != inputs.size:
        raise BoundsError(
            "Lagrangian bound: the rows have "
            f"{counted(dense.shape[1], 'column')}, the networks "
            f"{counted(inputs.size, 'input')}."
        )
    wide = sparse.csr_array(
        (matrix.data, (matrix.row, inputs[matrix.col])),
        shape=(dense.shape[0], model.n_columns),
    )
    return model.replace(
        matrix=sparse.vstack([model.matrix, wide], format="csr"),
        row_lower=np.append(model.row_lower, row_lower),
        row_upper=np.append(model.row_upper, row_upper),
    )
