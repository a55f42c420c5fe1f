r"""Linear models in columns, rows and costs of size about one, and the way back.

Solvers' tolerances are absolute.  With column factors c, row factors r and an objective
unit s, all powers of two, hence without rounding,

    min (s^-1 c_j p_j) x'_j   over   (r_i^-1 a_ij c_j) x'_j in r_i^-1 [l_i, u_i],

has the points ``x = c x'``, the values ``s`` times its own, and the row duals
``s / r_i`` times its own.  Sizes within ``BAND`` of one count as one, so that models
whose ranges are alike are left as they are.

A range says how large a column can be, not how large it is where it matters: a bound of
1e6 is often there because one had to be given, and a big-M dwarfs its row.  Were rows
divided by such numbers, what they say about everything else would drown in a solver's
tolerance.  So a large column counts no more than what others in its rows balance.  A row counts no
more than its largest term's counterweight, and the objective is not divided by a
penalty.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.common.powers import power_of_two

#: Sizes between 1 / BAND and BAND are left alone.
BAND = 64.0

#: Largest exponent of a factor.
_EXPONENT = 100

#: Solvers refuse coefficients of 1e15; what is so much smaller than another is lost.
_LARGEST_COEFFICIENT = 2.0**40

#: A side below this part of its row's largest term is what rounding left of terms that
#: cancelled, and no size.  So is a zero rounded outward.
_NOISE = 2.0**-48

#: Passes in which columns without a size of their own get one from their rows.
_ROUNDS = 3


def factors(size):
    """The power of two below each size; 1 where that is within BAND, 0 or infinite."""
    size = np.asarray(size, dtype=float)
    outside = np.isfinite(size) & (size > 0) & ((size > BAND) | (size * BAND < 1.0))
    found = np.clip(power_of_two(np.where(outside, size, 1.0)), 2.0**-_EXPONENT, None)
    return np.minimum(found, 2.0**_EXPONENT)


def range_sizes(lower, upper):
    """Size of columns by their bounds alone: infinite where an end is.

    Of all numbers from half the width up to the magnitude, the one closest to 1: a
    narrow range far from zero needs no other unit.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        magnitude = np.maximum(np.abs(lower), np.abs(upper))
        half = np.where(np.isfinite(magnitude), 0.5 * upper - 0.5 * lower, np.inf)
    return np.clip(1.0, np.minimum(half, magnitude), magnitude)


def column_sizes(model, given=None):
    """Sizes of a linear model's columns.

    Parameters
    ----------
    model : LinearModel
    given : numpy.ndarray, shape (n,), optional
        Sizes that are known; NaN where not.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Of integer columns 1.
    """
    size = range_sizes(model.lower, model.upper)
    doubtful = (size > BAND) & ~model.integer
    if given is not None:
        known = ~np.isnan(given)
        size[known] = given[known]
        doubtful &= ~known
    size[model.integer] = 1.0
    if doubtful.any():
        _balance(model, size, doubtful)
    return size


def _balance(model, size, doubtful):
    """Bring doubtful sizes down to what known ones in their rows balance, in place.

    An equation says how large a column can be, the least such number counts; of
    inequalities it is their geometric mean.
    """
    rows, columns = _row_numbers(model.matrix), model.matrix.indices
    a = np.abs(model.matrix.data)
    # Columns whose size is not known count as about one: their bounds say too little.
    # A side below a known term does not count, whatever it is.
    terms = a * np.where(doubtful, 1.0, size)[columns]
    side = _sides(model, _largest(model.matrix.indptr, terms))
    equal = (model.row_lower == model.row_upper)[rows]
    n, unknown = size.size, doubtful.copy()
    for _ in range(_ROUNDS):
        known = ~unknown[columns]
        reach = side.copy()
        np.maximum.at(reach, rows[known], a[known] * size[columns[known]])
        at = np.flatnonzero(~known & (a > 0) & (reach[rows] > 0))
        if not at.size:
            break
        j = columns[at]
        with np.errstate(over="ignore"):  # of the least coefficients; infinity is right
            balance = reach[rows[at]] / a[at]
        least = np.full(n, np.inf)
        np.minimum.at(least, j[equal[at]], balance[equal[at]])
        counts = np.bincount(j, minlength=n)
        mean = np.bincount(j, np.log(balance), n) / np.maximum(counts, 1)
        found = np.where(np.isfinite(least), least, np.exp(np.minimum(mean, 700.0)))
        new = unknown & (counts > 0)
        size[new] = np.minimum(size, found)[new]
        unknown &= ~new
    size[unknown & ~np.isfinite(size)] = 1.0


def row_sizes(model, columns):
    """Sizes of rows over columns multiplied by ``columns``.

    The largest coefficient, or what the others and the sides add up to if that is less.
    """
    matrix = model.matrix
    rows = _row_numbers(matrix)
    terms = np.abs(matrix.data) * columns[matrix.indices]
    largest = _largest(matrix.indptr, terms)
    total = np.bincount(rows, terms, model.n_rows)
    rest = np.maximum(total - largest, 0.0) + _sides(model, largest)
    least = largest / _LARGEST_COEFFICIENT
    return np.where(rest > 0, np.clip(rest, least, largest), largest)


def objective_size(terms):
    """Size of an objective with these coefficients times their columns' sizes.

    The largest if that is below 1; otherwise the least, but not below 1: costs that
    are small next to a penalty must not vanish in tolerances.
    """
    terms = np.abs(np.asarray(terms, dtype=float))
    terms = terms[(terms > 0) & np.isfinite(terms)]
    if not terms.size:
        return 1.0
    largest = terms.max()
    return float(largest if largest <= 1.0 else max(1.0, terms.min()))


def _largest(start, terms):
    """The largest of each row's terms, which begin at ``start``; 0 of empty rows."""
    largest = np.zeros(start.size - 1)
    full = np.flatnonzero(np.diff(start))
    if full.size:
        largest[full] = np.maximum.reduceat(terms, start[full])
    return largest


def _sides(model, largest):
    """The larger finite side of each row, 0 without one, or if it is only rounding.

    ``largest`` is each row's largest term.
    """
    low, high = np.abs(model.row_lower), np.abs(model.row_upper)
    side = np.maximum(
        np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    )
    return np.where(side < _NOISE * largest, 0.0, side)


def _row_numbers(matrix):
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


class UnitRange:
    """A linear model in unit range, and the way back.

    Parameters
    ----------
    model : LinearModel
        Left as it is if it is marked ``in_unit_range`` or all its sizes are alike.
    given : numpy.ndarray, optional
        See ``column_sizes``.

    Attributes
    ----------
    model : LinearModel
        The scaled model; the given one if ``identity``.
    columns, rows : numpy.ndarray, shapes (n,) and (m,)
        Factors, powers of two: ``x = columns * x'``, row i is divided by ``rows[i]``.
    identity : bool
    """

    def __init__(self, model, given=None):
        if model.in_unit_range:
            self.columns, self.rows = np.ones(model.n_columns), np.ones(model.n_rows)
        else:
            self.columns = factors(column_sizes(model, given))
            self.columns[model.integer] = 1.0
            self.rows = factors(row_sizes(model, self.columns))
        self.identity = bool(np.all(self.columns == 1.0) and np.all(self.rows == 1.0))
        self.model = model if self.identity else self._scaled(model)

    def _scaled(self, model):
        matrix = model.matrix
        data = matrix.data * self.columns[matrix.indices]
        data = data / self.rows[_row_numbers(matrix)]
        scaled = sparse.csr_array((data, matrix.indices, matrix.indptr), matrix.shape)
        return model.replace(
            matrix=scaled,
            row_lower=model.row_lower / self.rows,
            row_upper=model.row_upper / self.rows,
            lower=model.lower / self.columns,
            upper=model.upper / self.columns,
        )

    def costs(self, at, coefficients):
        """Costs over the scaled columns ``at``, and the objective's unit.

        Parameters
        ----------
        at : numpy.ndarray of int
        coefficients : numpy.ndarray

        Returns
        -------
        coefficients : numpy.ndarray
        unit : float
            A power of two: the objective is ``unit`` times the scaled one's.
        """
        coefficients = np.asarray(coefficients, dtype=float) * self.columns[at]
        unit = float(factors(objective_size(coefficients)))
        return (coefficients if unit == 1.0 else coefficients / unit), unit

    def grow(self, more):
        """Count that many further columns, which are as they are."""
        self.columns = np.concatenate([self.columns, np.ones(more)])

    def grow_rows(self, start, data):
        """Count further rows, given by CSR arrays over the scaled columns.

        Returns
        -------
        numpy.ndarray
            Their factors: powers of two about as large as their largest coefficients;
            1 in a model that is marked ``in_unit_range``.
        """
        found = np.ones(start.size - 1)
        if not self.model.in_unit_range:
            found = factors(_largest(start, np.abs(data)))
        self.rows = np.concatenate([self.rows, found])
        self.identity = self.identity and bool(np.all(found == 1.0))
        return found

    def point(self, scaled):
        """A point of the model from one of the scaled model; None stays None."""
        return scaled if scaled is None or self.identity else scaled * self.columns

    def duals(self, scaled, unit=1.0):
        """Row duals (or, with unit 1, a ray) from the scaled model's; None stays."""
        if scaled is None or (self.identity and unit == 1.0):
            return scaled
        if np.shape(scaled) != self.rows.shape:
            return scaled
        return scaled * (unit / self.rows)

    def answer(self, answer, unit):
        """An ``Answer`` of the scaled model as one of the model, in place."""
        if self.identity and unit == 1.0:
            return answer
        for name in ("objective", "dual_bound"):
            value = getattr(answer, name)
            if value is not None:
                setattr(answer, name, value * unit)
        answer.primal = self.point(answer.primal)
        answer.duals = self.duals(answer.duals, unit)
        answer.ray = self.duals(answer.ray)
        answer.unit = unit
        if answer.figures is not None and answer.figures.root_bound is not None:
            answer.figures.root_bound *= unit
        return answer


@dataclass(frozen=True)
class Units:
    """Factors of columns, rows and objective, all powers of two.

    Parameters
    ----------
    columns : numpy.ndarray, shape (n,)
        A column is its factor times the one in unit range.
    rows : numpy.ndarray, shape (m,)
        A row is its factor times the one in unit range.
    objective : float
    """

    columns: np.ndarray
    rows: np.ndarray
    objective: float = 1.0

    @property
    def identity(self):
        """True if everything is in unit range already."""
        factors = (self.columns, self.rows, np.array(self.objective))
        return all(bool(np.all(factor == 1.0)) for factor in factors)

    @classmethod
    def ones(cls, linear):
        """Of a model that is in unit range."""
        return cls(np.ones(linear.n_columns), np.ones(linear.n_rows))
