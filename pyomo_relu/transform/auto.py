"""relu.auto: picks bounds and a formulation for each network, and says what and why.

What it looks at: the number of inputs that vary, how many neurons CROWN's bounds leave
unstable, the network's width, the solver it is told, and a time budget.  What it picks:

==========================================  ===========================================
all neurons stable                          ``relu.bigm`` (no binaries)
one or two varying inputs                   ``relu.cells``
three                                       ``relu.cells``; told of Gurobi and with up
                                            to 50 unstable neurons, ``relu.bounds``, then
                                            ``relu.bigm``
more inputs, few unstable neurons           ``relu.bounds``, then ``relu.bigm``
more inputs                                 ``relu.obbt`` (LPs, within the budget), then
                                            ``relu.bigm``
==========================================  ===========================================

Every choice is exact; they differ in time only.  Networks of one model may get
different formulations.  One line per choice says what and why: with ``tee=True`` it is
printed, it is logged (logger "pyomo.relu", level INFO), and ``summary()`` of the block
shows it.  The formulations' look-ups (``get_indicator_var`` and so on) work through
``relu.auto`` too.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, NamedTuple

from pyomo.common.collections import ComponentMap
from pyomo.common.config import ConfigValue, document_class_CONFIG
from pyomo.core.base import ReverseTransformationToken, TransformationFactory

from pyomo_relu.common.options import non_negative
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import in_order
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.parts.plan import Plan, outputs_bounded

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


logger = logging.getLogger("pyomo.relu")

#: Up to so many varying inputs cells pay; measured on networks of 2x20 to 5x25.
_CELL_INPUTS = 3

#: Of more than two inputs and with up to so many unstable neurons, Gurobi proves big-M
#: in less time than cells take to prepare; measured on networks of 2x25 and 3x25.
_FEW_FOR_GUROBI = 50

#: Cells of three inputs for Gurobi: its free licence takes 2,000 columns.
_GUROBI_CELLS = 320

#: Up to so many unstable neurons a solver needs no help.
_FEW_UNSTABLE = 12

#: Shares of the time budget for refining cells and for tightening.
_SHARE = {"relu.cells": 0.1, "relu.obbt": 0.2}


def _declare_auto(config):
    declare(
        config,
        "solver",
        default="highs",
        doc="""
        For one whose name contains "gurobi" the relaxations are solved by Gurobi too,
        where its licence takes their size.""",
    )
    config.declare(
        "time_budget",
        ConfigValue(
            default=None,
            domain=non_negative,
            description="seconds that you are ready to wait, solving included",
            doc="""
            At most a third is spent here, before the solver starts.""",
        ),
    )
    return declare(config, "tee", doc="What was picked for each block, and why.")


@TransformationFactory.register(
    "relu.auto", doc="Pick bounds and a formulation for each ReLU network block"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Auto(NetworkFormulation):
    """Pick a formulation per network block; see the module's docstring."""

    NAME = "relu.auto"
    SOURCE = "-"
    USE = "start here: picks bounds and formulation, says why in one log line"
    CONFIG: ConfigDict = _declare_auto(declare(NetworkFormulation.CONFIG(), "bigM"))
    RENAMED = (("time_limit", "time_budget"),)

    def apply_within(self, call, model, **kwds):
        config = self._read_options(kwds)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        call.application.describe(type(self), model, config)
        blocks = self._untransformed(model, config)
        plans = ComponentMap()
        with outputs_bounded(call.reading) as note:
            for block in blocks:
                bounds = Plan(config, call).crown_bounds(block)
                note(block, bounds)
                plans[block] = choose(bounds, config)
        for steps, group in _groups(blocks, plans):
            for step in steps:
                transformation = TransformationFactory(step.name)
                assert transformation is not None  # registered with the package
                options = _options(transformation, step, config)
                transformation.apply_within(call, model, targets=group, **options)
        for block, (steps, reason) in plans.items():
            choice = f"{' then '.join(s.name for s in steps)}, because {reason}"
            block.record.encoding.choice = f"{self.NAME} picked {choice}"
            line = f"{self.NAME}: '{block.name}': {choice}"
            logger.info(line)
            if config.tee:
                print(line)
        return ReverseTransformationToken(
            type(self),
            model,
            config.targets or [model],
            {"application": call.application, "blocks": blocks},
        )

    def _undo(self, model, token):
        """Undo what was picked, whatever it is by now (see ``relu.refresh``)."""
        token.check_token_valid(type(self), model, None)
        application = token.reverse_dict["application"]
        blocks = token.reverse_dict["blocks"]
        for block in blocks:
            encoding = block.record.encoding
            if encoding is None or encoding.application is not application:
                raise TransformationError(
                    f"{self.NAME}: '{block.name}' is no longer encoded as {self.NAME} "
                    "left it; the token was used before, or the formulation reversed."
                )
        for block in blocks:
            block.record.encoding.reverse()
        runs = {
            run.stamp: run
            for block in blocks
            for run in block.record.runs
            if run.application is application
        }
        for _, run in sorted(runs.items(), reverse=True):
            run.check_last(self.NAME)
            run.restore()


class Step(NamedTuple):
    """A transformation by name, and the number of cells if that is not its default."""

    name: str
    max_cells: int | None = None


_BIG_M = Step("relu.bounds"), Step("relu.bigm")


def choose(bounds, config):
    """What to apply to a block, in order, and the reason.

    Parameters
    ----------
    bounds : NeuronBounds
        By CROWN, of the block's network over its input box.
    config : ConfigDict
        Of ``relu.auto``.

    Returns
    -------
    steps : tuple of Step
    reason : str
    """
    free = bounds.n_varying
    unstable, network = bounds.n_unstable, bounds.network
    size = (
        f"{unstable} of {counted(network.n_neurons, 'neuron')} in "
        f"{counted(len(network.layers) - 1, 'layer')} unstable, "
        f"{counted(free, 'input')} not fixed"
    )
    if unstable == 0:
        return _BIG_M, "all neurons are stable: no binaries"
    gurobi = "gurobi" in config.solver.lower()
    if gurobi and free > 2 and unstable <= _FEW_FOR_GUROBI:
        return _BIG_M, f"{size}: Gurobi is quicker than cells of so many inputs"
    if free <= _CELL_INPUTS:
        cells = Step("relu.cells", _GUROBI_CELLS if gurobi and free > 2 else None)
        return (cells,), f"{size}: cells of few inputs give the strongest root"
    if unstable <= _FEW_UNSTABLE:
        return _BIG_M, f"{size}: too few to tighten further"
    steps = Step("relu.obbt"), Step("relu.bigm")
    return steps, f"{size}: too many inputs for cells"


def _groups(blocks, plans):
    """(steps, blocks) to encode together; cells are chosen best for all at once.

    If that would encode a network before one that it reads, only neighbours in the
    given order are together.
    """
    steps = [plans[block][0] for block in blocks]
    together = [
        (each, [b for b in blocks if plans[b][0] == each])
        for each in dict.fromkeys(steps)
    ]
    order = [b for _, group in together for b in group]
    if in_order(order) is order:
        return together
    return [
        (each, list(group))
        for each, group in itertools.groupby(blocks, key=lambda b: plans[b][0])
    ]


def _options(transformation, step, config):
    """Options that the transformation has and relu.auto knows a value for."""
    known = {"assume_fixed_vars_permanent": config.assume_fixed_vars_permanent}
    if config.bigM is not None:
        known["bigM"] = config.bigM
    if config.time_budget is not None and step.name in _SHARE:
        known["time_limit"] = _SHARE[step.name] * config.time_budget
    if step.name == "relu.cells":
        known["max_cells"] = step.max_cells
        if "gurobi" in config.solver.lower():
            known["relaxation_solver"] = (
                "auto"  # Gurobi where it is there and takes the size
            )
    return {key: value for key, value in known.items() if key in transformation.CONFIG}
