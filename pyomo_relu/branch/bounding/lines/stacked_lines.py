"""Lines of many networks of one architecture, each box with a network of its own."""

import numpy as np

from pyomo_relu.bounds.crown.stacked import StackedPass
from pyomo_relu.branch.bounding.lines.lines import (
    FunctionLines,
    LineBounder,
    output_groups,
)


class StackedLineBounder(LineBounder):
    """As ``LineBounder``, of several networks.

    Parameters
    ----------
    stack : NetworkStack
        Of more than one network.
    flipped : bool
        See ``LineBounder``.
    """

    def __init__(self, stack, flipped=False):
        super().__init__(stack.first, flipped)
        self.kernel = StackedPass(stack)
        # what the networks do not read alike is done for all of them
        self.groups = output_groups(stack.weights[-1], stack.first.n_outputs)

    def lines_of(self, which, lower, upper):
        """FunctionLines of a network over each box.

        Parameters
        ----------
        which : numpy.ndarray of int, shape (B,)
            The network of each box.
        lower, upper : numpy.ndarray, shape (B, n_inputs)
            Finite.
        """

        def some(part):
            kernel = self.kernel.on(np.asarray(which)[part])
            return self._lines(kernel, lower[part], upper[part], None)

        return FunctionLines.joined(self._chunks(len(lower), some))
