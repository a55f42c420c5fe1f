"""Quadratic polynomials in exact arithmetic: whether one is negative nowhere."""

from collections import defaultdict
from fractions import Fraction


class Polynomial:
    """A polynomial of degree two or less with rational coefficients.

    Parameters
    ----------
    terms : dict of tuple to Fraction
        By monomials: ``()``, ``(i,)`` and ``(i, j)`` with i <= j.
    """

    def __init__(self, terms=()):
        self.terms = defaultdict(Fraction, terms)

    def add(self, other, factor):
        """Add ``factor other``, in place; ``factor`` is a float or a Fraction."""
        factor = Fraction(factor)
        for monomial, c in other.terms.items():
            self.terms[monomial] += factor * c
        return self

    @classmethod
    def square(cls, terms, constant=0.0):
        """``(sum_j terms[j] x_j + constant)^2``, without rounding."""
        parts = [((j,), Fraction(c)) for j, c in terms.items()]
        parts.append(((), Fraction(constant)))
        new = cls()
        for first, a in parts:
            for second, b in parts:
                new.terms[tuple(sorted(first + second))] += a * b
        return new

    def nowhere_negative(self):
        r"""Whether it is at least 0 at all real x, which is decided, not estimated.

        ``p(x) = x'M x + v'x + c`` is nowhere negative if and only if the matrix
        ``[[M, v/2], [v'/2, c]]`` is positive semidefinite: where it is,
        p(x) is its value at (x, 1); where it is not, it is negative at some (x, t), with
        t != 0 after a small move, hence p at x / t.  Elimination tells: all pivots are
        positive, or zero with nothing else left in their rows.
        """
        columns = sorted(
            {j for monomial, c in self.terms.items() if c for j in monomial}
        )
        place = {j: i for i, j in enumerate(columns)}
        n = len(columns)
        M = [[Fraction(0)] * (n + 1) for _ in range(n + 1)]
        for monomial, c in self.terms.items():
            if c:
                p, q = ([place[j] for j in monomial] + [n, n])[:2]
                M[p][q] += c / 2
                M[q][p] += c / 2
        for k in range(n + 1):
            pivot = M[k][k]
            below = [i for i in range(k + 1, n + 1) if M[i][k]]
            if pivot < 0 or (pivot == 0 and below):
                return False
            for i in below:
                factor = M[i][k] / pivot
                for j in below:
                    M[i][j] -= factor * M[k][j]
        return True


ONE = Polynomial({(): Fraction(1)})
