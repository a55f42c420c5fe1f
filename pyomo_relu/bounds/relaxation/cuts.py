r"""Inequalities of the ideal formulation of a ReLU neuron, separated in rounds.

For an unstable neuron ``x = max(0, w t + b)`` over the box ``l <= t <= u`` of what it
reads, with l' and u' the ends that minimise and maximise ``w_j t_j``, and z = 1 if it is
active, every subset I of the inputs gives a valid row

    x <= sum_{j in I} w_j (t_j - l'_j (1 - z)) + (b + sum_{j not in I} w_j u'_j) z

and together with ``x >= v``, ``x >= 0`` they describe the convex hull.  At a point
(t, x, z) the most violated row has
``I = {j : w_j t_j < w_j (l'_j (1 - z) + u'_j z)}``: found in one pass over the inputs.

Source: Anderson, Huchette, Ma, Tjandraatmadja and Vielma, "Strong mixed-integer
programming formulations for trained neural networks", Mathematical Programming 183
(2020), theorem 2 and proposition 3.  No Pyomo in here.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.relaxation.model import embedded_records
from pyomo_relu.bounds.relaxation.network import add_big_m_network
from pyomo_relu.common.arguments import checked, kind
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.matrices import dense
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.rounding import OF_MANY_TERMS
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session

#: Cuts whose slack at the last solution exceeds this share of U are dropped.
_SLACK = 1e-6


class Cut(NamedTuple):
    """The row ``x - weights . t[terms] - on z <= constant`` of neuron (layer, neuron).

    ``terms`` are positions in the concatenation of the layer's sources.
    """

    layer: int
    neuron: int
    terms: np.ndarray
    weights: np.ndarray
    on: float
    constant: float


class NeuronCuts:
    """Separates cuts for one network.

    Parameters
    ----------
    bounds : NeuronBounds
    """

    def __init__(self, bounds):
        self.bounds, self.network = bounds, bounds.network
        self.layers = [self._layer(k) for k in range(len(bounds.lower) - 1)]

    def _layer(self, k):
        """Neurons to cut, weights, and the ends of the terms w_j t_j."""
        layer, bounds = self.network.layers[k], self.bounds
        neurons = bounds.unstable(k)
        if layer.ceiling is not None:
            neurons = neurons & (bounds.upper[k] <= layer.ceiling)
        neurons = np.flatnonzero(neurons)
        lower, upper, weights = [], [], []
        for source, w in layer.terms:
            lo, hi = bounds.range_of(source)
            lower.append(lo)
            upper.append(hi)
            weights.append(dense(w))
        if not weights:
            return neurons, np.zeros((neurons.size, 0)), None, None
        w = np.hstack(weights)[neurons]
        lo, hi = np.concatenate(lower), np.concatenate(upper)
        ends = w * lo, w * hi
        return neurons, w, np.minimum(*ends), np.maximum(*ends)

    def separate(self, values, columns, tolerance):
        """Cuts that a point violates.

        Parameters
        ----------
        values : numpy.ndarray
            The point.
        columns : NetworkColumns
        tolerance : float
            Least violation, relative to the neuron's upper bound.

        Returns
        -------
        list of (Cut, float)
            With their violation, relative to the upper bound.
        """
        found = []
        for k, (neurons, w, low, high) in enumerate(self.layers):
            if not neurons.size or not w.shape[1]:
                continue
            layer, upper = self.network.layers[k], self.bounds.upper[k][neurons]
            t = np.concatenate([values[columns.of(s)] for s in layer.sources])
            z = values[columns.z[k][neurons]][:, None]
            x = values[columns.post[k][neurons]]
            chosen = w * t < low * (1.0 - z) + high * z
            constant = -np.where(chosen, low, 0.0).sum(axis=1)
            on = layer.bias[neurons] + np.where(chosen, low, high).sum(axis=1)
            size = np.abs(low).sum(axis=1) + np.abs(high).sum(axis=1)
            constant += OF_MANY_TERMS * (size + np.abs(layer.bias[neurons]))
            right = np.where(chosen, w * t, 0.0).sum(axis=1) + on * z[:, 0] + constant
            violation = (x - right) / upper
            for n in np.flatnonzero(violation > tolerance):
                terms = np.flatnonzero(chosen[n] & (w[n] != 0))
                cut = Cut(
                    k,
                    int(neurons[n]),
                    terms,
                    w[n, terms],
                    float(on[n]),
                    float(constant[n]),
                )
                found.append((cut, float(violation[n])))
        return found


class CutRounds:
    """Adds cuts to the relaxation of a whole model until its bound stops moving.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (linear.n_columns,)
        To be minimised.
    networks : list of (NeuronBounds, numpy.ndarray, numpy.ndarray)
        Each with its input and output columns.
    solver : str
    """

    @checked(BoundsError, linear=kind("linear.model", "LinearModel"))
    def __init__(self, linear, costs, networks, solver="highs"):
        given, bounds, _ = embedded_records(linear, costs, networks, NeuronBounds)
        builder = ModelBuilder(linear.replace(integer=None))
        self.columns = [
            add_big_m_network(builder, b, net.inputs, net.outputs)
            for net, b in zip(given.functions, bounds, strict=True)
        ]
        self.separators = [NeuronCuts(b) for b in bounds]
        self.model = builder.build()
        self.costs, self.solver = given.costs, solver
        self.cuts = [[] for _ in bounds]
        self.values = []

    def run(self, max_rounds=20, tolerance=1e-3, violation=1e-4, time_limit=None):
        """Solve, separate, add; at the end drop cuts that do not bind.

        Parameters
        ----------
        max_rounds : int
        tolerance : float
            Least movement of the bound that is worth another round, relative to its
            movement so far and to its size.
        violation : float
            Least violation of a cut, relative to the neuron's upper bound.
        time_limit : float, optional
            Seconds.

        Returns
        -------
        str
            Why it ended: "no violated row", "bound", "rounds", "time", "no optimum".
        """
        deadline = Deadline(time_limit)
        at = np.flatnonzero(self.costs)
        reason, primal = "rounds", None
        for _ in range(max_rounds + 1):
            model = self._with_cuts()
            with open_session(self.solver, model) as session:
                answer = session.minimize(at, self.costs[at])
            if answer.status != Status.OPTIMAL:
                reason = "no optimum"
                break
            primal = answer.primal
            self.values.append(answer.objective)
            if self._stalled(tolerance, answer.unit):
                reason = "bound"
                break
            if len(self.values) > max_rounds or deadline.passed():
                reason = "rounds" if len(self.values) > max_rounds else "time"
                break
            if not self._separate(primal, violation):
                reason = "no violated row"
                break
        if primal is not None:
            self._drop_slack(primal)
        return reason

    def _stalled(self, tolerance, unit):
        if len(self.values) < 3:
            return False
        step = self.values[-1] - self.values[-3]
        total = self.values[-1] - self.values[0]
        return step <= tolerance * max(total, 1e-6 * (unit + abs(self.values[-1])))

    def _separate(self, primal, violation):
        n = 0
        for cuts, separator, columns in zip(
            self.cuts, self.separators, self.columns, strict=True
        ):
            new = separator.separate(primal, columns, violation)
            cuts += [cut for cut, _ in new]
            n += len(new)
        return n

    def _entries(self, which, cut):
        """Columns and coefficients of a cut's row."""
        columns, network = self.columns[which], self.separators[which].network
        sources = network.layers[cut.layer].sources
        t = np.concatenate([columns.of(s) for s in sources])[cut.terms]
        x, z = columns.post[cut.layer][cut.neuron], columns.z[cut.layer][cut.neuron]
        return np.append(t, [x, z]), np.append(-cut.weights, [1.0, -cut.on])

    def _with_cuts(self):
        data, at, ends, right = [], [], [0], []
        for which, cuts in enumerate(self.cuts):
            for cut in cuts:
                columns, coefficients = self._entries(which, cut)
                at.append(columns)
                data.append(coefficients)
                ends.append(ends[-1] + columns.size)
                right.append(cut.constant)
        if not right:
            return self.model
        rows = sparse.csr_array(
            (np.concatenate(data), np.concatenate(at), ends),
            shape=(len(right), self.model.n_columns),
        )
        return self.model.replace(
            matrix=sparse.vstack([self.model.matrix, rows], format="csr"),
            row_lower=np.append(self.model.row_lower, np.full(len(right), -np.inf)),
            row_upper=np.append(self.model.row_upper, right),
        )

    def _drop_slack(self, primal):
        for which, cuts in enumerate(self.cuts):
            binding = []
            for cut in cuts:
                columns, coefficients = self._entries(which, cut)
                slack = cut.constant - coefficients @ primal[columns]
                upper = self.separators[which].bounds.upper[cut.layer][cut.neuron]
                if slack <= _SLACK * upper:
                    binding.append(cut)
            self.cuts[which] = binding
