"""Lines of all row functions of a problem: what is bounded in which way.

Functions of one input are curves, all others are bounded by CROWN; where rows make
inputs sums of other columns, CROWN sees those sums as well as the inputs' box.
"""

import numpy as np

from pyomo_relu.branch.bounding.curves import LINES, Curves
from pyomo_relu.branch.bounding.lines import FunctionLines, LineBounder, Lines
from pyomo_relu.branch.joint_parts import Substitution, only_outputs


class MixedBounder:
    """Lines of a problem's directions over boxes of all its columns.

    Parameters
    ----------
    problem : BranchProblem
        With finite bounds on x.

    Attributes
    ----------
    curves : Curves
    n_further : numpy.ndarray of int, shape (n_directions,)
        How many of the further lines each direction has.
    """

    def __init__(self, problem):
        self.network = network = problem.network
        n = self.network.n_inputs
        self.curves = Curves(network, problem.lower[:n], problem.upper[:n])
        self._others = np.setdiff1d(np.arange(network.n_outputs), self.curves.outputs)
        self._bounder = self._summed = None
        if self._others.size:
            some = only_outputs(network, self._others) if len(self.curves) else network
            self._bounder = LineBounder(some)
            self._substitution = Substitution(problem, some)
            if self._substitution.useful:
                self._summed = LineBounder(self._substitution.network)
        self.n_further = np.zeros(network.n_outputs, dtype=int)
        self.n_further[self.curves.outputs] = LINES - 1

    def lines(self, lower, upper):
        """FunctionLines over boxes; ``hidden`` is left empty where there are curves.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n_columns)
        """
        by_crown = self._by_crown(lower, upper)
        if not len(self.curves):
            return by_crown
        B, m, n = len(lower), self.network.n_outputs, self.network.n_inputs
        each = [_no_lines(B, m, n) for _ in range(LINES)]
        errors = np.zeros((B, 2 * m, n))
        unstable = np.zeros(B, dtype=int)
        if by_crown is not None:
            at = self._others
            for name, array in zip(Lines._fields, each[0], strict=True):
                array[:, at] = getattr(by_crown, name)
            errors[:, np.concatenate([at, m + at])] = by_crown.errors
            unstable += by_crown.unstable
        curves = zip(
            self.curves.curves, self.curves.outputs, self.curves.inputs, strict=True
        )
        for curve, k, j in curves:
            *of_curve, below, above = curve.lines(lower[:, j], upper[:, j])
            errors[:, k, j], errors[:, m + k, j] = below, above
            for line, lines in enumerate(each):
                lines.low[:, k, j], lines.low_const[:, k] = (
                    a[:, line] for a in of_curve[:2]
                )
                lines.high[:, k, j], lines.high_const[:, k] = (
                    a[:, line] for a in of_curve[2:]
                )
            ends = np.searchsorted(curve.kinks, [lower[:, j], upper[:, j]])
            unstable += np.maximum(ends[1] - ends[0], 0)
        return FunctionLines(*each[0], unstable, errors, ((), ()), tuple(each[1:]))

    def _by_crown(self, lower, upper):
        if self._bounder is None:
            return None
        n = self.network.n_inputs
        known = None
        if self._summed is not None:
            at = self._substitution.columns
            known = self._summed.hidden_bounds(lower[:, at], upper[:, at])
            known = tuple(side[1:] for side in known)
        return self._bounder.lines(lower[:, :n], upper[:, :n], known)


def _no_lines(B, m, n):
    return Lines(
        np.zeros((B, m, n)), np.zeros((B, m)), np.zeros((B, m, n)), np.zeros((B, m))
    )
