"""Activations as pairs of nonnegative variables of which one is zero.

What ``relu.sos1`` and ``relu.complementarity`` share; how a pair is enforced lives in
their files.

A neuron with bounds [L, U] and ceiling c (infinite for a plain ReLU)::

    x - v = h - a        h: how far v lies below zero        (0 if L >= 0)
    g = c - x            a: how far v lies above the ceiling (0 if U <= c)
    one of x, h is zero                one of g, a is zero

plus, if L < 0, the upper hull row ``x (c' - L) <= c' (v - L)``, c' = min(c, U), and, if
c < U, the lower one ``(x - L') (U - L') >= (c - L') (v - L')``, L' = max(L, 0): with them
the LP relaxation is that of ``relu.bigm``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation, check_encoded
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.row_builder import bounded
from pyomo_relu.transform.parts.solver_paths import check_path

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.records.encoding import Encoding


ZERO, CEILING = "zero", "ceiling"


class PairEncoding(Encoding):
    """Of a network whose activations are pairs."""

    __slots__ = ()

    def set_start(self, x, pre, post):
        """Set the differences, too."""
        super().set_start(x, pre, post)
        new, layers = self.reformulation, self.network.layers
        for (k, i), var in new.below_zero.items():
            below = self.in_own_units(k, i, max(0.0, -float(pre[k][i])))
            var.set_value(below, skip_validation=True)
        for (k, i), var in new.above_ceiling.items():
            ceiling = float(layers[k].ceiling[i])
            above = self.in_own_units(k, i, max(0.0, float(pre[k][i]) - ceiling))
            var.set_value(above, skip_validation=True)
            gap = self.in_own_units(k, i, ceiling - float(post[k][i]))
            new.gap[k, i].set_value(gap, skip_validation=True)


class PairFormulation(NetworkFormulation):
    """Base of formulations that enforce pairs; they define ``_enforce``."""

    CONFIG: ConfigDict = declare(
        declare(NetworkFormulation.CONFIG(), "bigM"),
        "solver",
        doc="""
        A path that is not known to take the encoding is refused now, before anything is
        built; without a name the solver's own interface refuses later.""",
    )
    HANDLES_CEILINGS = True
    RECORD = PairEncoding

    def _enforce(self, rows, pairs):
        """Make one of each pair zero; ``pairs`` is as ``get_pairs`` returns it."""
        raise NotImplementedError(f"{type(self).__name__} enforces nothing.")

    def _bounds(self, block, plan):
        check_path(self.NAME, plan.config.solver, self.TAKES)
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _encode(self, rows, plan):
        for name in ("below_zero", "above_ceiling", "gap"):
            rows.new_columns(name)
        super()._encode(rows, plan)
        new, post = rows.reformulation, rows.columns.post
        pairs = {key: _pair_of(new, post[key[0]][key[1]], *key) for key in _keys(new)}
        self._enforce(rows, pairs)

    def _encode_neuron(self, rows, k, i, config):
        lower = float(rows.bounds.lower[k][i])
        upper = float(rows.bounds.upper[k][i])
        ceilings = rows.network.layers[k].ceiling
        ceiling = upper if ceilings is None else min(upper, float(ceilings[i]))
        new = rows.reformulation
        v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
        coefs, variables = [1.0, -1.0], [x, v]
        if lower < 0:
            coefs.append(-1.0)
            variables.append(bounded(new.below_zero[k, i], 0.0, -lower))
            hull = [ceiling - lower, -ceiling]
            rows.add_row((k, i, "hull"), hull, [x, v], None, -ceiling * lower)
        if ceiling < upper:
            coefs.append(1.0)
            above = bounded(new.above_ceiling[k, i], 0.0, upper - ceiling)
            variables.append(above)
            gap = bounded(new.gap[k, i], 0.0, ceiling)
            rows.add_row((k, i, "gap"), [1.0, 1.0], [gap, x], ceiling, ceiling)
            least = max(lower, 0.0)
            rows.add_row(
                (k, i, "lower_hull"),
                [upper - least, least - ceiling],
                [x, v],
                lower=least * (upper - ceiling),
            )
        rows.add_row((k, i, "split"), coefs, variables, 0.0, 0.0)

    def get_pairs(self, block):
        """{(layer, neuron, label): (Var, Var)}: the pairs of which one is zero.

        The label is "zero" for the pair (post, below zero), "ceiling" for (gap to the
        ceiling, above it).  Of a neuron in a far unit they are in that of its copy.
        """
        encoding = check_encoded(block)
        new = encoding.reformulation
        return {
            key: _pair_of(new, encoding.column(block.post[key[:2]]), *key)
            for key in _keys(new)
        }


def _keys(reformulation):
    zero, ceiling = reformulation.below_zero, reformulation.above_ceiling
    return [
        *((*key, ZERO) for key, _ in zero.items()),
        *((*key, CEILING) for key, _ in ceiling.items()),
    ]


def _pair_of(reformulation, post, k, i, label):
    """The two variables of a pair."""
    if label == ZERO:
        return post, reformulation.below_zero[k, i]
    return reformulation.gap[k, i], reformulation.above_ceiling[k, i]
