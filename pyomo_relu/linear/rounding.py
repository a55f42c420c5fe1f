r"""How far numbers may be off: by float64 rounding, and by solvers' tolerances.

Derivation
----------
Write u = 2**-53 and gamma(n) = n u / (1 - n u).  A sum of n products computed in any
order, with or without fused multiply-add, errs by at most gamma(n) times the sum of
the products' magnitudes (Higham, *Accuracy and Stability of Numerical Algorithms*,
2nd ed., section 3.1), plus 2**-1075 per product that underflows.

*Forward pass.*  For a layer ``v = sum_s W_s t_s + b`` let ``scale >= sum_s |W_s| |t_s|
+ |b|`` on the whole box.  The pre-activation that floating-point evaluation gives
differs from the exact affine map of the *computed* source values by at most
``gamma(n) scale``, n being the number of terms of a row.  Activations are exact.  So a
computed forward pass is the exact pass of a network whose biases are moved by at most
that much, and bounds that allow for it at every layer hold for the exact and for the
computed pre-activations.

*Interval arithmetic* sums the same terms (centre and radius of each source interval,
whose magnitudes add up to the source's own), so its error obeys the same bound.  Moving
each end outward by ``slack(n) * scale + TINY`` with ``slack(n) = 2.2 gamma(n + 24)``
covers both errors: 2 for the two of them, 24 for the additions of sources, of centre
and radius and for the rounding of centre, radius and slack; the remaining 10% covers
the rounding of ``scale``, itself a sum of at most n nonnegative terms.

*Sums of one sign.*  Rounding to nearest keeps signs, so a sum of terms that are all at
least zero is at least zero in any order of summation, whatever is rounded or underflows:
its lower end needs no slack below 0.  A tensor v and its max(0, v) are one term each
time, a v+ + b v-, though evaluation sums w v and w' max(0, v) apart, a = w + w'.  Where
a >= 2 slack(n) (|w| + |w'|) for all of them the sum exceeds ``gamma(n) scale``, which is
all that rounding takes; below the normal numbers additions are exact and products of
the larger factor round to no less.

*CROWN* replaces, from the target backwards, ``A x`` by ``A' v + c`` with slopes s in
[0, 1] and then v by its affine map.  The float coefficients A at each tensor are taken
as given and what every step loses is charged, in units of value, to the layer v
through which it passes.  With ``r`` neurons in that layer, ``n`` terms per row and at
most ``d`` layers contributing to a tensor:

- ``A' = A s + min(A, 0) (s' - s)`` errs by at most 8 u |A| per entry; times |v| <= scale;
- the products with W and adding them to what other layers contributed: at most
  gamma(2 r + 12 + d) |A| |W| per entry, times the magnitude of the sources;
- the constants (bias, intercepts of at most |A| scale) and adding them to the running
  constant: gamma(2 r + 18 + 2 d) |A| scale;
- the forward pass's own error: gamma(n) |A| scale.

Together ``|A| scale`` times at most ``2 gamma(n + 2 r + 2 d + 24)``; the slack
subtracted is ``|A| (slack(n + 2 r + 2 d) scale + TINY)``; the target's own row is
charged ``slack(n + 2 d) scale``.  At the inputs ``A x >= A centre - |A| radius``
is treated like interval arithmetic with twice the terms.  Underflow inside a product
moves a coefficient by at most r * 2**-1074, hence the value by that times the source's
magnitude; ``UNDERFLOW`` times the sum of all magnitudes is far more.
"""

import numpy as np

#: Unit roundoff of float64: one operation errs by at most this share of its result.
UNIT = 2.0**-53

#: Added wherever underflow could hide a rounding error: the least normal number.
TINY = 2.0**-1022

#: Relative to the sum of all magnitudes; covers underflow in products of matrices.
UNDERFLOW = 2.0**-1000

#: Smaller than any width or size that matters; keeps divisions by zero away.
NEGLIGIBLE = 1e-300

#: Shares of the terms' sizes that generously cover rounding, where a result is moved
#: outward or two results count as one: of a shift by a constant and a division, ...
OF_SHIFTING = 2.0**-51
#: ... of interpolating between points and of forming the constant of a line, ...
OF_INTERPOLATING = 2.0**-48
#: ... of sums of a few terms; of a constant that is taken off again, 1e-15 is lost, ...
OF_FEW_TERMS = 1e-14
#: ... of sums of up to 4000 terms (``slack``), as a layer's rows are, ...
OF_MANY_TERMS = 1e-12
#: ... and of sums of such sums, each with bounds of its own.
OF_SUMS = 1e-9

#: What solvers let an integer column miss an integer by.
INTEGRALITY = 1e-6

#: Largest violation of a feasible point, in unit range.
FEASIBILITY = 1e-6

#: Ends of a range that are closer, and not equal, are moved this far outward before a
#: MILP solver sees them.  HiGHS takes a column narrower than its tolerance of 1e-6 for
#: fixed.  The row that defines a neuron of weights of 1e-9 (trained ones have such) then
#: says something of the inputs' values, divided by the weights: that there are none.
NARROWEST = 4.0 * FEASIBILITY

#: Objectives of smaller size count as this when a gap is taken relative to them.
_LEAST_OBJECTIVE = 1e-10


def gamma(n):
    """Relative error bound ``n u / (1 - n u)`` of a sum of n products."""
    return n * UNIT / (1.0 - n * UNIT)


def slack(n):
    """Factor of a sum's magnitude that covers two computations of its n terms.

    One is ours, the other the forward pass's; see the module's derivation.
    """
    return 2.2 * gamma(n + 24)


def rounding(*parts, operations=2):
    """More than a few float64 operations err by.

    Parameters
    ----------
    *parts : array_like
        No operand or result exceeds the sum of their magnitudes.
    operations : int
        Charged twice: the error bound and the number moved by it are rounded as well.
    """
    size = np.abs(parts[0])
    for part in parts[1:]:
        size = size + np.abs(part)
    return 2.0 * operations * UNIT * size


def down(value):
    """The next number below: a result that is rounded is at least this."""
    return np.nextafter(value, -np.inf)


def up(value):
    """The next number above: a result that is rounded is at most this."""
    return np.nextafter(value, np.inf)


def inward(value):
    """The next number towards zero; zero stays zero, so that no sign is lost."""
    return np.nextafter(value, 0.0)


def wide_enough(lower, upper):
    """Ranges of which none is narrower than ``NARROWEST`` but for single values."""
    width = upper - lower
    move = np.where((width > 0.0) & (width < NARROWEST), NARROWEST, 0.0)
    return lower - move, upper + move


def whole(lower, upper):
    """The least and the largest integer between bounds, to ``INTEGRALITY``."""
    return np.ceil(lower - INTEGRALITY), np.floor(upper + INTEGRALITY)


def relative_gap(objective, bound):
    """``|objective - bound| / |objective|``; finite where the objective is zero."""
    return abs(objective - bound) / max(abs(objective), _LEAST_OBJECTIVE)
