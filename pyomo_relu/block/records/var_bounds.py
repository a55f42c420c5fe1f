"""Var bounds as numbers, and tightening them so that they can be put back exactly."""

import itertools

from pyomo.common.autoslots import AutoSlots
from pyomo.common.numeric_types import native_numeric_types
from pyomo.core.base import value
from pyomo.core.base.set_types import Reals

from pyomo_relu.block.arguments.implied_bounds import ImpliedBound
from pyomo_relu.block.pyomo_private import is_plain, own_bounds, put_bounds
from pyomo_relu.common.transaction import on_rollback

_INFINITY, _MINUS_INFINITY = float("inf"), -float("inf")


def ends(var, sides=None, fixed_values=True):
    """A Var's bounds as floats, its domain's included; infinite where it has none.

    Parameters
    ----------
    var : VarData
    sides : dict, optional
        {(id(var), side): bound} in place of what it has; see ``TightenedVars.modellers``.
    fixed_values : bool
        Whether bounds that an expression implies rest on the values of fixed Vars in
        it; if not, on their bounds.
    """
    if not sides and not any(isinstance(b, ImpliedBound) for b in own_bounds(var)):
        found = var.bounds
    else:
        found = _other_ends(var, sides or {}, fixed_values)
    low, high = found
    return (
        _MINUS_INFINITY if low is None else float(low),
        _INFINITY if high is None else float(high),
    )


def _other_ends(var, sides, fixed_values):
    """``ends`` of a Var that is linked, or whose sides may be given."""
    bounds = [sides.get((id(var), k), own) for k, own in enumerate(own_bounds(var))]
    implied = [k for k, b in enumerate(bounds) if isinstance(b, ImpliedBound)]
    if implied:
        both = bounds[implied[0]].both_sides(_ends_of_parts(sides, fixed_values))
        for side in implied:
            bounds[side] = both[side]
    return [
        tightest((b for b in (value(own), limit) if b is not None), default=None)
        for tightest, own, limit in zip(
            (max, min), bounds, var.domain.bounds(), strict=True
        )
    ]


def _ends_of_parts(sides, fixed_values):
    """``ends`` of the Vars that an expression reads."""

    def ends_of(var):
        if fixed_values and var.fixed and var.value is not None:
            return var.value, var.value
        return ends(var, sides, fixed_values)

    return ends_of


def _looser(own, bound, side):
    """Whether a Var's own bound may be replaced by a number, and is no tighter."""
    if own is None:
        return True
    if isinstance(own, ImpliedBound):
        own = own()
    elif own.__class__ not in native_numeric_types:
        return False
    return bound < own if side else bound > own


def wide_enough(lower, upper):
    """As ``linear.rounding.wide_enough``, of lists of floats."""
    from pyomo_relu.linear.rounding import NARROWEST  # loads numpy

    pairs = zip(lower, upper, strict=True)
    narrow = [i for i, (lo, hi) in enumerate(pairs) if 0.0 < hi - lo < NARROWEST]
    if narrow:
        lower, upper = list(lower), list(upper)
    for i in narrow:
        lower[i], upper[i] = lower[i] - NARROWEST, upper[i] + NARROWEST
    return lower, upper


class TightenedVars(AutoSlots.Mixin):
    """Sides of Var bounds that were tightened, with what the modeller had declared.

    Only a side that gets tighter is touched.  A side that the modeller declared by an
    expression (a mutable Param) is left alone: a number would freeze it.  Bounds that an
    input's expression implies are replaced; whoever tightens them has recorded what
    that rests on.  A transaction that fails takes back what was tightened within it.
    Ranges that solvers take for single values are left wider than they are known to be.
    """

    __slots__ = ("_sides",)

    def __init__(self):
        # (Vars, side, declared bounds or None where there were none, bounds), as a model
        # of many networks has millions
        self._sides = []
        on_rollback(self.restore)

    def tighten(self, var, lower, upper):
        """Tighten one Var; fixed Vars are left alone."""
        if var.fixed:
            return
        low, high = own_bounds(var)
        if lower is not None and upper is not None:
            (lower,), (upper,) = wide_enough([lower], [upper])
        if var.domain is not Reals:
            least, most = var.domain.bounds()
            lower = None if least is not None and lower <= least else lower
            upper = None if most is not None and upper >= most else upper
        if (
            lower is not None
            and lower != _MINUS_INFINITY
            and _looser(low, lower, side=0)
        ):
            self._sides.append(([var], 0, [low], [lower]))
            var.setlb(lower)
        if upper is not None and upper != _INFINITY and _looser(high, upper, side=1):
            self._sides.append(([var], 1, [high], [upper]))
            var.setub(upper)

    def tighten_all(self, variables, lower, upper):
        """Tighten many Vars by lists of floats."""
        plain = [is_plain(var) for var in variables]
        if not all(plain):
            for var, *ends, is_free in zip(variables, lower, upper, plain, strict=True):
                if not is_free:
                    self.tighten(var, *ends)
            variables, lower, upper = (
                list(itertools.compress(values, plain))
                for values in (variables, lower, upper)
            )
        for side, bounds in enumerate(wide_enough(lower, upper)):
            declared = [own_bounds(var)[side] for var in variables]
            if side:
                tighter = [
                    bound < _INFINITY and (own is None or bound < own)
                    for own, bound in zip(declared, bounds, strict=True)
                ]
            else:
                tighter = [
                    bound > _MINUS_INFINITY and (own is None or bound > own)
                    for own, bound in zip(declared, bounds, strict=True)
                ]
            some = variables
            if not all(tighter):
                some, declared, bounds = (
                    list(itertools.compress(values, tighter))
                    for values in (variables, declared, bounds)
                )
            if some:
                known = None if all(own is None for own in declared) else declared
                self._sides.append((some, side, known, bounds))
                put_bounds(some, side, bounds)

    def _each(self, newest_first=False):
        """(var, side, declared bound, bound) of every side, as they were tightened."""
        order = reversed if newest_first else iter
        for variables, side, declared, bounds in order(self._sides):
            declared = [None] * len(bounds) if declared is None else declared
            each = zip(order(variables), order(declared), order(bounds), strict=True)
            for var, own, bound in each:
                yield var, side, own, bound

    def __iter__(self):
        """(var, side, declared bound) of every side; side 0 is the lower one."""
        return ((var, side, declared) for var, side, declared, _ in self._each())

    def restricted(self):
        """Vars that still carry a bound set here."""
        return (v for v, side, _, bound in self._each() if own_bounds(v)[side] == bound)

    def modellers(self, var_sides):
        """Fill {(id(var), side): bound} with what the modeller has in force.

        Called on the newest entries first: a side that still carries the bound set
        here has the declared one behind it, any other has been changed since.
        """
        for var, side, declared, bound in self._each(newest_first=True):
            current = var_sides.get((id(var), side), own_bounds(var)[side])
            var_sides[id(var), side] = declared if current == bound else current

    def in_force(self):
        """[(var, side, declared, bound)] of the sides that still carry the bound."""
        return [
            entry
            for entry in self._each()
            if own_bounds(entry[0])[entry[1]] == entry[3]
        ]

    def restore(self):
        """Put the declared bounds back, last change first.

        A side that somebody changed since then stays as it is.
        """
        restored = []
        on_rollback(self._tighten_again, self._sides, restored)
        for var, side, declared, bound in self._each(newest_first=True):
            if own_bounds(var)[side] == bound:
                restored.append((var, side, bound))
                (var.setlb, var.setub)[side](declared)
        self._sides = []

    def _tighten_again(self, sides, restored):
        for var, side, bound in reversed(restored):
            (var.setlb, var.setub)[side](bound)
        self._sides = sides
