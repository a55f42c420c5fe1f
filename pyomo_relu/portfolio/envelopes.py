"""Proven lines of a model's functions over any boxes: curves' envelopes, else CROWN's."""

import numpy as np

from pyomo_relu.bounds.relaxation.curve_rows import envelope
from pyomo_relu.branch.bounding.lines.lines import LineBounder


class FunctionEnvelopes:
    """Lines of each function; see ``bounds.relaxation.switched.Sides``.

    Parameters
    ----------
    functions : sequence of EmbeddedNetwork
    curves : dict
        Curves by function, of those whose outputs all are curves.
    """

    def __init__(self, functions, curves):
        self._functions, self._curves, self._known = functions, curves, {}

    def __call__(self, i, lower, upper):
        """Coefficients (B, L, n_inputs + n_outputs) and constants (B, L)."""
        if i not in self._curves:
            return _by_crown(self._functions[i].network, lower, upper)
        each = [self._of_curves(i, *box) for box in zip(lower, upper, strict=True)]
        L, n = max(c.size for _, c in each), each[0][0].shape[1]
        coefficients, constants = np.zeros((len(each), L, n)), np.zeros((len(each), L))
        for b, (a, c) in enumerate(each):
            coefficients[b, : c.size], constants[b, : c.size] = a, c
        return coefficients, constants

    def _of_curves(self, i, lower, upper):
        curves = self._curves[i]
        key = id(curves), lower.tobytes(), upper.tobytes()
        if key not in self._known:
            n, parts = lower.size, []
            for j, k, curve in zip(
                curves.inputs, curves.outputs, curves.curves, strict=True
            ):
                ends = max(lower[j], curve.points[0]), min(upper[j], curve.points[-1])
                some, c = envelope(curve.points, curve.low, curve.high, *ends)
                a = np.zeros((c.size, n + len(curves)))
                a[:, [j, n + k]] = some
                parts.append((a, c))
            self._known[key] = [np.concatenate(p) for p in zip(*parts, strict=True)]
        return self._known[key]


def _by_crown(network, lower, upper):
    found = LineBounder(network).lines(lower, upper)
    m = network.n_outputs
    eye = np.broadcast_to(np.eye(m), (len(lower), m, m))
    low = np.concatenate([-found.low, eye], axis=2)
    high = np.concatenate([found.high, -eye], axis=2)
    constants = np.concatenate([found.low_const, -found.high_const], axis=1)
    return np.concatenate([low, high], axis=1), constants
