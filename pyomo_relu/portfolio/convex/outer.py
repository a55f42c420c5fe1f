"""A model with convex atoms as a linear one with tangents, which only networks are left in.

The atoms' columns stay, and rows of proven lines take the place of the atoms (outer
approximation: Duran and Grossmann, Math. Program. 36, 1986).  So what holds of the linear
model holds of the given one: its bounds are lower bounds, and if it has no point, neither
has that.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.implied import implied_bounds
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.atoms.atom import Atom, OneColumn, Sum
from pyomo_relu.linear.atoms.tangents import Tangents
from pyomo_relu.linear.embedded import Units
from pyomo_relu.portfolio.convex.convexity import convex, may_be_convex
from pyomo_relu.portfolio.one_sided import OneSided


class OuterApproximation:
    """The linear model outside a model with atoms.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.

    Attributes
    ----------
    convex : bool
        Whether tangents describe the atoms, in the limit.
    """

    def __init__(self, model):
        self.model, self.convex = model, False
        if not may_be_convex(model):
            return
        try:
            self.lower, self.upper = implied_bounds(model)
        except InfeasibleError:  # for a route to prove
            return
        self.convex = convex(model, self.lower, self.upper)

    @property
    def composed(self):
        """Whether some function of one column reads what another atom computes."""
        atoms = [f for f in self.model.functions if isinstance(f, Atom)]
        computed = {int(a.outputs[0]) for a in atoms if not a.by_rows}
        computed |= {
            int(a.outputs[0])
            for a in atoms
            if isinstance(a, Sum) and computed.intersection(a.inputs.tolist())
        }
        ones = (a for a in atoms if isinstance(a, OneColumn))
        return any(int(a.inputs[0]) in computed for a in ones)

    @cached_property
    def _tangents(self):
        atoms = [f for f in self.model.functions if isinstance(f, Atom)]
        # names of linear forms are rows already
        atoms = [a for a in atoms if not a.by_rows]
        return Tangents(atoms, self.lower, self.upper)

    def violated(self, points, least):
        """Rows of tangents that points of a relaxation violate; see ``Tangents``."""
        return self._tangents.violated(points, least)

    @cached_property
    def relaxed(self):
        """The EmbeddedModel of the networks and first tangents."""
        model, linear = self.model, self.model.linear
        matrix, lower, upper = self._tangents.first()
        linear = linear.replace(
            matrix=sparse.vstack([linear.matrix, matrix], format="csr"),
            row_lower=np.concatenate([linear.row_lower, lower]),
            row_upper=np.concatenate([linear.row_upper, upper]),
            lower=self.lower,
            upper=self.upper,
        )
        networks = [f for f in model.functions if not isinstance(f, Atom)]
        return replace(
            model, linear=linear, functions=networks, known_units=Units.ones(linear)
        )

    @cached_property
    def one_sided(self):
        """The OneSided of the model with atoms."""
        return OneSided(self.model, self.lower, self.upper)

    def settled(self, point):
        """A point of the linear model with all functions computed; see ``OneSided``."""
        return self.one_sided.settled(point)
