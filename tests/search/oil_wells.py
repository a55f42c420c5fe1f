"""The eight oil wells on two flowlines of the examples; no test logic here."""

from pyomo_relu.study.problems.oil_well_model import oil_well_model
from tests.paths import SHARED_MODELS


def oil_wells(variant="shallow"):
    """The whole problem with the networks of ``variant`` ("shallow" or "deep")."""
    return oil_well_model(SHARED_MODELS / "oilwell", variant)
