"""relu.auto: picks bounds and a formulation for each network, and says what and why.

What it looks at: the number of inputs that vary, how many neurons CROWN's bounds leave
unstable, the network's width, the solver it is told, and a time budget.  What it picks:

==========================================  ===========================================
all neurons stable                          ``relu.bigm`` (no binaries)
one to three varying inputs                 ``relu.cells``
more inputs, few unstable neurons           ``relu.bounds``, then ``relu.bigm``
more inputs                                 ``relu.obbt`` (LPs, within the budget), then
                                            ``relu.bigm``
==========================================  ===========================================

Every choice is exact; they differ in time only.  Networks of one model may get
different formulations.  One log line (logger "pyomo.relu", level INFO) per choice.
Each network block's ``summary()`` names the formulation that it got, whose look-ups
(``get_indicator_var`` and so on) work through ``relu.auto`` too.
"""

import logging

from pyomo.common.collections import ComponentMap
from pyomo.common.config import (
    ConfigValue,
    NonNegativeFloat,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import ReverseTransformationToken, TransformationFactory

from pyomo_relu import bounds as bounds_
from pyomo_relu.transform.base import NetworkFormulation

logger = logging.getLogger("pyomo.relu")

#: Up to so many varying inputs cells pay; measured on networks of 2x20 to 5x25.
_CELL_INPUTS = 3

#: Up to so many unstable neurons a solver needs no help.
_FEW_UNSTABLE = 12

#: Shares of the time budget for refining cells and for tightening.
_SHARE = {"relu.cells": 0.1, "relu.obbt": 0.2}


def _declare_auto(config):
    config.declare(
        "solver",
        ConfigValue(
            default="highs",
            domain=lambda name: str(name).lower(),
            description="name of the solver that will get the model",
            doc="""
            Any Pyomo solver name.  For one that contains "gurobi" the relaxations are
            solved by Gurobi too, where its licence takes their size.""",
        ),
    )
    config.declare(
        "time_limit",
        ConfigValue(
            default=None,
            domain=NonNegativeFloat,
            description="seconds that you are ready to wait, solving included",
            doc="""
            At most a third is spent here, before the solver starts.""",
        ),
    )
    return config


@TransformationFactory.register(
    "relu.auto", doc="Pick bounds and a formulation for each ReLU network block"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Auto(NetworkFormulation):
    """Pick a formulation per network block; see the module's docstring."""

    NAME = "relu.auto"
    CONFIG = _declare_auto(NetworkFormulation.CONFIG())

    def _apply_to(self, model, **kwds):
        config = self.CONFIG(kwds.pop("options", {}))
        config.set_value(kwds)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        blocks = self._untransformed(model, config)
        plans = ComponentMap((b, choose(b, config)) for b in blocks)
        tokens = []
        try:
            for steps in dict.fromkeys(steps for steps, _ in plans.values()):
                group = [b for b in blocks if plans[b][0] == steps]
                for name in steps:
                    transformation = TransformationFactory(name)
                    options = _options(transformation, name, config)
                    tokens.append(
                        (
                            name,
                            transformation.apply_to(model, targets=group, **options),
                        )
                    )
        except BaseException:
            _reverse(model, tokens)
            raise
        for block, (steps, reason) in plans.items():
            logger.info(
                f"{self.NAME}: '{block.name}': {' then '.join(steps)}, because {reason}"
            )
        return ReverseTransformationToken(
            type(self), model, config.targets or [model], {"tokens": tokens}
        )

    def _undo(self, model, token):
        token.check_token_valid(type(self), model, None)
        _reverse(model, token.reverse_dict["tokens"])


def choose(block, config):
    """What to apply to a block, in order, and the reason.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    config : ConfigDict
        Of ``relu.auto``.

    Returns
    -------
    steps : tuple of str
    reason : str
    """
    bounds = block.neuron_bounds(config.assume_fixed_vars_permanent)
    bounds = bounds_.crown_bounds(
        bounds.network, bounds.input_lower, bounds.input_upper, bounds
    )
    free = int(np.count_nonzero(bounds.input_lower < bounds.input_upper))
    unstable, network = bounds.n_unstable, bounds.network
    size = (
        f"{unstable} of {network.n_neurons} neurons in {len(network.layers) - 1} layers "
        f"are unstable and {free} inputs vary"
    )
    if unstable == 0:
        return ("relu.bounds", "relu.bigm"), "all neurons are stable: no binaries"
    if free <= _CELL_INPUTS:
        return ("relu.cells",), f"{size}: cells of few inputs give the strongest root"
    if unstable <= _FEW_UNSTABLE:
        return ("relu.bounds", "relu.bigm"), f"{size}: too few to tighten further"
    return ("relu.obbt", "relu.bigm"), f"{size}: too many inputs for cells"


def _options(transformation, name, config):
    """Options that the transformation has and relu.auto knows a value for."""
    known = {"assume_fixed_vars_permanent": config.assume_fixed_vars_permanent}
    if config.time_limit is not None and name in _SHARE:
        known["time_limit"] = _SHARE[name] * config.time_limit
    if "gurobi" in config.solver and name == "relu.cells":
        known["solver"] = "auto"  # Gurobi where it is there and takes the size
    return {key: value for key, value in known.items() if key in transformation.CONFIG}


def _reverse(model, tokens):
    for name, token in reversed(tokens):
        TransformationFactory(name).apply_to(model, reverse=token)
