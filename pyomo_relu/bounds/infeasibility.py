"""Which rows, bounds and networks of an infeasible model contradict each other.

Deletion filter: whatever can be left out without losing the proof of infeasibility is
left out (Chinneck and Dravnieks, ORSA Journal on Computing 3, 1991), many at a time
first.  Proofs are those of propagation, of LPs' dual rays and of MILPs.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.obbt.run import OBBTRun
from pyomo_relu.bounds.obbt.whole_model import ModelTightening
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import InfeasibleError, ReLUError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.certificate import Certifier
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import ask

ROW, COLUMN, NETWORK = "row", "column", "network"


@dataclass(frozen=True)
class InfeasibleSubset:
    """Parts of a model that have no common point.

    Attributes
    ----------
    rows, columns, networks : list of int
        Rows; columns whose bounds take part; networks.
    minimal : bool
        No part can be left out (with the same kind of proof).
    integer : bool
        The proof needs the integrality of the columns in these rows.
    """

    rows: list
    columns: list
    networks: list
    minimal: bool
    integer: bool = False


def infeasible_subset(model, networks=(), seconds=5.0, proves=None):
    """A small part of an infeasible model that is infeasible by itself.

    First without networks, by LPs and then with integer columns by MILPs; then with
    networks' relaxations; then by ``proves``.

    Parameters
    ----------
    model : LinearModel
    networks : sequence of EmbeddedNetwork
    seconds : float
        For all; the last proof that is begun may take longer.
    proves : callable, optional
        ``proves(model, seconds)`` is True if a part of the rows and of the bounds (not
        of those of networks' inputs), with all networks, is proven to be infeasible.

    Returns
    -------
    InfeasibleSubset or None
        None if no proof of infeasibility was found.
    """
    search = _Search(model, list(networks), Deadline(seconds))
    inputs = {int(j) for net in networks for j in net.inputs}
    bounded = np.isfinite(model.lower) | np.isfinite(model.upper)
    # what is dropped without need is dropped first: rows say more than bounds
    columns = sorted(np.flatnonzero(bounded).tolist(), key=lambda j: j in inputs)
    columns = [(COLUMN, j) for j in columns if not _binary(model, j)]
    rows = [(ROW, i) for i in range(model.n_rows)]
    found = search.filter(columns + rows, search.by_lp)
    if found is None and model.integer.any():
        found = search.filter(columns + rows, search.by_milp, integer=True)
    if found is None and networks:
        all_networks = [(NETWORK, k) for k in range(len(networks))]
        found = search.filter(all_networks + columns + rows, search.by_relaxation)
    if found is None and proves is not None:
        search.proves = proves
        search.kept_columns = inputs
        free = [c for c in columns if c[1] not in inputs]
        found = search.filter(free + rows, search.by_caller)
        if found is not None:
            found.networks.extend(range(len(networks)))
    return found


def _binary(model, j):
    return model.integer[j] and model.lower[j] >= 0 and model.upper[j] <= 1


class _Search:
    """The model, the time, and proofs that a part of it is infeasible."""

    def __init__(self, model, networks, deadline):
        self.model, self.networks, self.deadline = model, networks, deadline
        self.kept_columns = set()
        self.proves = None

    def filter(self, parts, proof, integer=False):
        """The deletion filter; None if not even all parts are proven infeasible."""
        if self.deadline.passed() or not proof(parts):
            return None
        size, minimal = len(parts), False
        while size > 1 and not self.deadline.passed():
            size = -(-size // 2)
            at = 0
            while at < len(parts) and not self.deadline.passed():
                fewer = parts[:at] + parts[at + size :]
                if proof(fewer):
                    parts = fewer
                else:
                    at += size
            minimal = size == 1 and at >= len(parts)
        rows, columns, networks = (
            sorted(i for k, i in parts if k == kind) for kind in (ROW, COLUMN, NETWORK)
        )
        minimal = minimal or len(parts) == 1
        return InfeasibleSubset(rows, columns, networks, minimal, integer)

    def part(self, parts):
        """The LinearModel of some parts."""
        model = self.model
        rows = [i for kind, i in parts if kind == ROW]
        free = np.ones(model.n_columns, dtype=bool)
        free[[j for kind, j in parts if kind == COLUMN]] = False
        free[list(self.kept_columns)] = False
        free[[j for j in np.flatnonzero(model.integer) if _binary(model, j)]] = False
        return model.replace(
            matrix=model.matrix[rows],
            row_lower=model.row_lower[rows],
            row_upper=model.row_upper[rows],
            lower=np.where(free, -np.inf, model.lower),
            upper=np.where(free, np.inf, model.upper),
        )

    def by_lp(self, parts):
        return _no_point(self.part(parts))

    def by_milp(self, parts):
        part = self.part(parts)
        with HighsSession(part, integer=True) as session:
            none = np.zeros(0, dtype=int), np.zeros(0)
            return ask(session, *none, self.deadline.left()).status == Status.INFEASIBLE

    def by_relaxation(self, parts):
        networks = [self.networks[k] for kind, k in parts if kind == NETWORK]
        part = EmbeddedModel(self.part(parts), tuple(networks))
        run = OBBTRun(time_limit=self.deadline.left())
        tightening = ModelTightening(part, run, _box_bounds)
        try:
            tightening.find_boxes()
            relaxation, _ = tightening.relaxation()
        except InfeasibleError:
            return True
        except ReLUError:  # a part of a model may be nothing to bound
            return False
        return _no_point(relaxation)

    def by_caller(self, parts):
        assert self.proves is not None  # set where this is the proof
        try:
            return self.proves(self.part(parts), self.deadline.left())
        except ReLUError:
            return False


def _no_point(model):
    """Whether propagation or an LP proves that a LinearModel has no point."""
    if np.any(model.lower > model.upper):
        return True
    try:
        propagate(model)
    except InfeasibleError:
        return True
    if not model.n_rows:
        return False
    with HighsSession(model) as session:
        answer = ask(session, np.zeros(0, dtype=int), np.zeros(0))
    return answer.status == Status.INFEASIBLE and Certifier(model).proves_infeasible(
        answer.ray
    )


def _box_bounds(network, lower, upper):
    bounds = interval_bounds(network, lower, upper)
    return bounds.intersect(crown_bounds(network, lower, upper, start=bounds))
