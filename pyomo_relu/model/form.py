"""Linear forms over numbered columns."""


class Form:
    """A linear form ``sum_j terms[j] x_j + constant``."""

    __slots__ = ("constant", "terms")

    def __init__(self, terms=None, constant=0.0):
        self.terms = terms or {}
        self.constant = constant

    def plus(self, other, factor=1.0):
        """``self + factor other``; a coefficient that vanishes is left out."""
        terms = dict(self.terms)
        for j, c in other.terms.items():
            new = terms.get(j, 0.0) + factor * c
            if new == 0.0:
                terms.pop(j, None)
            else:
                terms[j] = new
        return Form(terms, self.constant + factor * other.constant)

    def times(self, factor):
        """``factor self``."""
        if factor == 0.0:
            return Form()
        return Form(
            {j: factor * c for j, c in self.terms.items()}, factor * self.constant
        )

    @property
    def key(self):
        """What makes two forms equal."""
        return tuple(sorted(self.terms.items())), self.constant
