"""relu.bounds: record bounds that need no solver.

Interval arithmetic, then CROWN (backward linear bounds), then, for networks with few
inputs, splitting of the input box.  The bounds are recorded on the block together with
the input box that they were proven on; formulations applied later use them as long as
the inputs' bounds stay within that box.

Adds nothing to the model; tightens Var bounds unless told not to.  Milliseconds.

Sources: Plate et al., arXiv 2502.03016, eqs. (6)-(7); Zhang et al., NeurIPS 2018
(CROWN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import (
    ConfigValue,
    NonNegativeInt,
    document_class_CONFIG,
)
from pyomo.core.base import TransformationFactory

from pyomo_relu.bounds.methods import METHODS
from pyomo_relu.model.options import declare
from pyomo_relu.transform.tightening.tightening import BoundTransformation

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


def declare_solver_free(config, default):
    """Declare the options of the methods that need no solver."""
    declare(config, "methods", default=default, doc=f"Out of {', '.join(METHODS)}.")
    declare(
        config,
        "max_cells",
        doc="""
        By method "split".  Default: chosen by the number of inputs; networks with many
        inputs are not split unless a number is given.""",
    )
    config.declare(
        "alpha_steps",
        ConfigValue(
            default=0,
            domain=NonNegativeInt,
            description="steps of slope optimisation in CROWN",
        ),
    )
    return config


@TransformationFactory.register(
    "relu.bounds", doc="Record interval, CROWN and input-splitting bounds of networks"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Bounds(BoundTransformation):
    """Record bounds that need no solver; see the module's docstring."""

    NAME = "relu.bounds"
    CONFIG: ConfigDict = declare_solver_free(
        BoundTransformation.CONFIG(), ("interval", "crown", "split")
    )

    def _methods(self, config):
        return {
            "methods": config.methods,
            "max_cells": config.max_cells,
            "alpha_steps": config.alpha_steps,
        }
