"""What stands for rows without being one: which components, and what makes rows of them."""

from pyomo.core.base import SOSConstraint
from pyomo.core.base.logical_constraint import LogicalConstraint
from pyomo.dae import DerivativeVar
from pyomo.gdp import Disjunction
from pyomo.mpec import Complementarity
from pyomo.network import Arc

#: Transformations by ctype.  Discretising makes Vars of DerivativeVars, the others
#: deactivate what they replace: what is left was forgotten.
MADE_ROWS_BY = {
    SOSConstraint: (),
    Disjunction: ("gdp.bigm", "gdp.hull"),
    LogicalConstraint: ("core.logical_to_linear",),
    Complementarity: ("mpec.simple_disjunction",),
    DerivativeVar: ("dae.finite_difference", "dae.collocation"),
    Arc: ("network.expand_arcs",),
}


def unread(model):
    """Components of a model, active where that means something, which are no rows yet."""
    return model.component_data_objects(
        tuple(MADE_ROWS_BY), active=True, descend_into=True
    )


def remedy(component):
    """What to do with one of them, a sentence."""
    names = MADE_ROWS_BY.get(component.ctype, ())
    if not names:
        return "Reformulate it with binaries and linear rows."
    calls = " or ".join(f"TransformationFactory('{name}')" for name in names)
    return f"Apply {calls} first."
