"""The master LP: all rows and columns, each part a mixture of points of its graph.

    min c x  over the model's rows and bounds,
             x[columns_k] = sum_p lambda_kp v_kp,  sum_p lambda_kp = 1,  lambda >= 0.

Its value is no bound, since not all points are in it; its multipliers are what
``lagrangian`` makes bounds of.  Links may be missed at a price, so that there is always
an answer.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask

#: Columns that a part gets per round.
_COLUMNS = 4

#: Points in the master from which on it is made anew.
_MOST_COLUMNS = 3000

_SETTINGS = Settings("relu.decompose")


class Master:
    """The LP in a session, which goes on from its last basis.

    Parameters
    ----------
    linear : LinearModel
        In unit range.
    costs : numpy.ndarray, shape (n,)
    families : sequence of Family

    Attributes
    ----------
    n, n_rows, n_links, n_parts : int
    link_columns : numpy.ndarray of int, shape (n_links,)
        The model's column of each link.
    """

    def __init__(self, linear, costs, families):
        self.linear, self.costs, self.families = linear, costs, families
        self.n, self.n_rows = linear.n_columns, linear.n_rows
        sizes = [f.columns.size for f in families]
        self.link_columns = np.concatenate(
            [np.zeros(0, dtype=int), *(f.columns.ravel() for f in families)]
        )
        starts = np.cumsum([0, *sizes])
        self.n_links = int(starts[-1])
        #: first link of each member of each family
        self._links = [
            first + np.arange(len(f)) * f.columns.shape[1]
            for first, f in zip(starts, families, strict=False)
        ]
        ones = np.cumsum([0, *(len(f) for f in families)])
        self.n_parts = int(ones[-1])
        self._convexity = [
            first + np.arange(len(f)) for first, f in zip(ones, families, strict=False)
        ]
        self._session = None
        self.n_columns = 0

    def _open(self):
        m, n, q = self.n_links, self.n, self.n_parts
        every = np.arange(m)
        pick = sparse.csr_array((np.ones(m), (every, self.link_columns)), shape=(m, n))
        eye = sparse.eye_array(m)
        matrix = sparse.block_array(
            [
                [self.linear.matrix, sparse.csr_array((self.n_rows, m)), None],
                [pick, eye, -eye],
                [sparse.csr_array((q, n)), None, sparse.csr_array((q, m))],
            ],
            format="csr",
        )
        lo, hi = self.linear.lower, self.linear.upper
        zero, one = np.zeros(m), np.ones(q)
        free = np.full(2 * m, np.inf)
        self._session = HighsSession(
            LinearModel(
                matrix,
                np.concatenate([self.linear.row_lower, zero, one]),
                np.concatenate([self.linear.row_upper, zero, one]),
                np.concatenate([lo, np.zeros(2 * m)]),
                np.concatenate([hi, free]),
                in_unit_range=True,
            ),
            settings=_SETTINGS,
        )
        self.n_columns = n + 2 * m

    def renew(self):
        """Forget all points if there are many: the next nodes need few of them."""
        if self.n_columns < _MOST_COLUMNS + self.n + 2 * self.n_links:
            return
        self._session.close()
        self._session = None
        for f in self.families:
            f.column[:] = -1

    def add(self, at, numbers):
        """Columns for points of family ``at``."""
        f = self.families[at]
        d, q = f.columns.shape[1], numbers.size
        if not q:
            return
        owner = f.owner[numbers]
        rows = self.n_rows + self._links[at][owner][:, None] + np.arange(d)
        last = self.n_rows + self.n_links + self._convexity[at][owner][:, None]
        rows = np.concatenate([rows, last], axis=1)
        data = np.concatenate([-f.points[numbers], np.ones((q, 1))], axis=1)
        start = (d + 1) * np.arange(q + 1)
        height = self.n_rows + self.n_links + self.n_parts
        matrix = sparse.csc_array(
            (data.ravel(), rows.ravel(), start), shape=(height, q)
        )
        if self._session is None:
            self._open()
        self._session.add_columns(matrix, np.zeros(q), np.full(q, np.inf))
        f.column[numbers] = self.n_columns + np.arange(q)
        self.n_columns += q

    def restrict(self, lower, upper):
        """Bounds of the model's columns, and only valid points."""
        if self._session is None:
            self._open()
        at = [np.arange(self.n)]
        low, high = [lower], [upper]
        for f in self.families:
            used = f.column >= 0
            at.append(f.column[used])
            low.append(np.zeros(at[-1].size))
            high.append(np.where(f.valid[used], np.inf, 0.0))
        self._session.set_bounds(*(np.concatenate(a) for a in (at, low, high)))
        self._session.go_on_primal(False)

    def solve(self, penalty, costs=None, time_limit=None):
        """Solve it; a Mixture, or a Status if there is no optimum.

        Parameters
        ----------
        penalty : float
            Price of missing a link by 1.
        costs : numpy.ndarray, shape (n,), optional
            Other ones than the model's.
        """
        costs = self.costs if costs is None else costs
        every = np.arange(self.n + 2 * self.n_links)
        prices = np.concatenate([costs, np.full(2 * self.n_links, penalty)])
        answer = ask(self._session, every, prices, time_limit)
        if answer.status is Status.INFEASIBLE:
            return Mixture(answer.status, duals=answer.ray)
        if answer.status is not Status.OPTIMAL:
            return Mixture(answer.status)
        self._session.go_on_primal(True)
        x = answer.primal
        missed = float(x[self.n : self.n + 2 * self.n_links].sum())
        return Mixture(answer.status, answer.objective, x, answer.duals, missed)

    def price(self, mixture, least):
        """Columns for known points of negative reduced cost; whether any were added.

        Parameters
        ----------
        mixture : Mixture
        least : float
            Reduced costs of smaller size do not count.
        """
        _, by_family = self.split(mixture.duals)
        sigmas = self.convexity(mixture.duals)
        added = False
        for i, (f, pi, sigma) in enumerate(
            zip(self.families, by_family, sigmas, strict=True)
        ):
            _, values = f.least(pi)
            reduced = values - sigma[f.owner]
            some = np.flatnonzero((reduced < -least) & (f.column < 0))
            if not some.size:
                continue
            order = some[np.lexsort((reduced[some], f.owner[some]))]
            owner = f.owner[order]
            rank = np.arange(order.size) - np.searchsorted(owner, owner)
            self.add(i, order[rank < _COLUMNS])
            added = True
        return added

    def split(self, duals):
        """Multipliers of rows and links, and of links by family, of shapes (K, n + m)."""
        pi = duals[self.n_rows : self.n_rows + self.n_links]
        by_family, at = [], 0
        for f in self.families:
            by_family.append(pi[at : at + f.columns.size].reshape(f.columns.shape))
            at += f.columns.size
        return duals[: self.n_rows + self.n_links], by_family

    def convexity(self, duals):
        """Multipliers of the convexity rows by family, of shapes (K,)."""
        sigma = duals[self.n_rows + self.n_links :]
        return [sigma[c] for c in self._convexity]

    def close(self):
        """Free the session."""
        if self._session is not None:
            self._session.close()


class Mixture:
    """An answer of the master.

    Attributes
    ----------
    status : Status
    value : float
    x : numpy.ndarray
        Values of all its columns.
    duals : numpy.ndarray
        Of its rows; if infeasible the ray, or None.
    missed : float
        By how much links are missed altogether.
    """

    def __init__(self, status, value=np.inf, x=None, duals=None, missed=np.inf):
        self.status, self.value, self.x = status, value, x
        self.duals, self.missed = duals, missed

    @property
    def solved(self):
        """True if there is an optimum."""
        return self.status is Status.OPTIMAL

    def weights(self, family):
        """Numbers of a family's points that are mixed, and their shares."""
        # later columns were not in it yet
        there = (family.column >= 0) & (family.column < self.x.size)
        used = np.flatnonzero(there)
        shares = self.x[family.column[used]]
        some = shares > 1e-9
        return used[some], shares[some]
