"""The best point of the linear regions that parts are in, by one sparse LP over all rows."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask

_SETTINGS = Settings("relu.decompose", presolve=True, rays=False)


class Regions:
    """Minimises the objective where each part is kept to the region of a point.

    The rows of a part are its own: unlike ``RegionLP``, which knows all networks as one,
    it takes time in proportion to the number of parts.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n,)
    families : sequence of Family
    lower, upper : numpy.ndarray, shapes (n,)
        Ends of all columns.
    """

    def __init__(self, linear, costs, families, lower, upper):
        self._linear, self._costs, self._families = linear, costs, families
        self._lower, self._upper = lower, upper

    def best(self, x, time_limit=None):
        """The best point, or None if the rows leave none.

        Parameters
        ----------
        x : numpy.ndarray, shape (n,)
            Integer columns stay at their rounded values.
        time_limit : float, optional

        Returns
        -------
        numpy.ndarray, shape (n,), or None
        """
        linear, n = self._linear, x.size
        x = np.clip(x, self._lower, self._upper)
        lower, upper, whole = self._lower.copy(), self._upper.copy(), linear.integer
        lower[whole] = upper[whole] = np.round(x[whole])
        builder = ModelBuilder()
        every = builder.add_columns(lower, upper)
        builder.add_rows([(every, linear.matrix)], linear.row_lower, linear.row_upper)
        self._add(builder, every, x)
        with HighsSession(builder.build(), settings=_SETTINGS) as session:
            answer = ask(session, np.arange(n), self._costs, time_limit)
        return answer.primal if answer.status is Status.OPTIMAL else None

    def _add(self, builder, every, x):
        """Rows of all parts' regions, and the affine maps on them, in one block."""
        columns, counts, data, lower, upper = [], [], [], [], []
        for f in self._families:
            inputs = f.columns[:, : f.n]
            rows, low, high, C, d = f.networks.regions(np.arange(len(f)), x[inputs])
            # what no point of the box violates only takes time
            ends = (a[inputs][:, None] for a in (self._lower, self._upper))
            a, b = (rows * end for end in ends)
            least, most = np.minimum(a, b).sum(axis=2), np.maximum(a, b).sum(axis=2)
            some = (least < low) | (most > high)
            k, m = some.nonzero()[0], d.shape[1]
            eyes = np.broadcast_to(-np.eye(m), (len(f), m, m))
            maps = np.concatenate([C, eyes], axis=2)
            over = np.repeat(f.columns[:, None], m, axis=1)
            for block, of in ((rows[some], inputs[k]), (maps, over)):
                data.append(block.ravel())
                columns.append(of.ravel())
                counts.append(np.full(block.size // of.shape[-1], of.shape[-1]))
            lower += [low[some], -d.ravel()]
            upper += [high[some], -d.ravel()]
        ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        entries = np.concatenate(data), np.concatenate(columns), ends
        matrix = sparse.csr_array(entries, shape=(ends.size - 1, x.size))
        builder.add_rows(
            [(every, matrix)], np.concatenate(lower), np.concatenate(upper)
        )
