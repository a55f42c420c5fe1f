"""Points that have a property, confirmed by onnxruntime on the file as it was given."""

import numpy as np

#: Candidates of one batch that are run by onnxruntime, the best first.
_TRIED = 5


class Witnesses:
    """Takes candidate points and keeps the first that onnxruntime confirms.

    Inputs are rounded to the file's types and into the property's box.  An input whose
    bounds hold no number of its type (fixed at 0.1, for example) is fed with the nearest
    one; then the network must have the property at the exact point as well.

    Parameters
    ----------
    network : Network
    outputs : FileOutputs
    prop : Property

    Attributes
    ----------
    point, values : numpy.ndarray or None
        A confirmed witness, and the file's outputs there.
    rejected : int
        Points that have the property in float64, but not in the file's arithmetic.
    """

    def __init__(self, network, outputs, prop):
        self.network, self.outputs, self.prop = network, outputs, prop
        self.point = self.values = None
        self.rejected = 0
        self.least = np.inf

    def __call__(self, X, values=None):
        """Look at points, shape (N, n_inputs); True if one is confirmed.

        ``values`` are the property's rows there, shape (N, n_rows), where known.
        """
        if values is None:
            values = self.prop.values(X, self.network.forward(X))
        margin = self.prop.margin_of(X, values)
        self.least = min(self.least, float(margin.min(initial=np.inf)))
        order = np.argsort(margin, kind="stable")[:_TRIED]
        return any(self._confirm(x) for x in X[order[margin[order] <= 0]])

    def _confirm(self, x):
        for case in self.prop.cases:
            if not ((case.lower <= x) & (x <= case.upper)).all():
                continue
            fed, exact = self._fitted(x, case)
            y = self.outputs(fed)
            if not np.isfinite(y).all():
                continue
            holds = self._holds(exact, y, case)
            if holds and not np.array_equal(fed, exact):
                holds = self._holds(exact, self.network.forward(exact), case)
            if holds:
                self.point, self.values = exact[0], y[0]
                return True
        self.rejected += 1
        return False

    def _fitted(self, x, case):
        """What is fed, and the point of the box that it stands for, (1, n_inputs)."""
        lower, upper = case.lower[None], case.upper[None]
        fed = self.outputs.rounded(x[None])
        above, below = fed > upper, fed < lower
        if above.any() or below.any():
            target = np.where(above, -np.inf, np.where(below, np.inf, fed))
            inward = self.outputs.towards(fed, target)
            fits = (inward >= lower) & (inward <= upper)
            fed = np.where(fits, inward, fed)
        return fed, np.clip(fed, lower, upper)

    def _holds(self, x, y, case):
        values = self.prop.values(x, y)[0, case.rows]
        return bool((values <= 0).all())
