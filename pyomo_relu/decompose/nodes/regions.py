"""The best point of the linear regions that parts are in, by one sparse LP over all rows."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask
from pyomo_relu.network.pieces import region_rows

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
            for at in f.columns:
                inputs = at[: f.n]
                rows, low, high, C, d = region_rows(f.network, x[inputs])
                # what no point of the box violates only takes time
                a, b = rows * self._lower[inputs], rows * self._upper[inputs]
                least = np.minimum(a, b).sum(axis=1)
                most = np.maximum(a, b).sum(axis=1)
                some = (least < low) | (most > high)
                maps = np.concatenate([C, -np.eye(d.size)], axis=1)
                for block, over in ((rows[some], inputs), (maps, at)):
                    data.append(block.ravel())
                    columns.append(np.tile(over, len(block)))
                    counts.append(np.full(len(block), over.size))
                lower += [low[some], -d]
                upper += [high[some], -d]
        ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        entries = np.concatenate(data), np.concatenate(columns), ends
        matrix = sparse.csr_array(entries, shape=(ends.size - 1, x.size))
        builder.add_rows(
            [(every, matrix)], np.concatenate(lower), np.concatenate(upper)
        )
