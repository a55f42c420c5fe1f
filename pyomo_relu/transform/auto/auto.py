"""relu.auto: picks bounds and a formulation for each network, and says what and why.

For those who want one MILP for a solver of their own; ``SolverFactory("relu")`` proves
most models sooner.  What it looks at: the number of inputs that vary, how many neurons
CROWN's bounds leave unstable, how many networks there are, the solver it is told, and a
time budget.  What it picks:

==========================================  ===========================================
all neurons stable                          ``relu.bigm`` (no binaries)
one varying input                           ``relu.cells``: exact pieces
told of ``scip_direct`` or                  ``relu.obbt``, then ``relu.sos1``
``scip_persistent``, one network, and up
to eight varying inputs
rows or objective around not linear         ``relu.obbt``, then ``relu.bigm``
two, and no other network                   ``relu.cells``
two or three, told of Gurobi, and more      ``relu.cells``
than 50 unstable neurons in a network
few unstable neurons                        ``relu.bounds``, then ``relu.bigm``
more                                        ``relu.obbt`` (LPs, within the budget), then
                                            ``relu.bigm``
too large for Gurobi's licence              ``relu.reduce``, if that fits
inputs without bounds                       ``relu.obbt`` with ``scope="model"`` before
                                            all else, and not once more after it
==========================================  ===========================================

Measured on the set of ``benchmarks/regret``: with HiGHS 1.16 cells of several networks
take longer than big-M rows, and most of that in its presolve.  Around one network SCIP
takes 2 to 12 times less CPU with SOS1 sets than with big-M rows or cells (2 to 8 inputs,
20 to 125 neurons, linear rows or products and exp), and is as exact as with big-M;
with products (``relu.complementarity``) it is slower and its points are off by up to
4e-4.  Around two networks with products of their outputs it ends with big-M rows only.
Gurobi takes nonlinear models with big-M rows in the least time, too.

The Vars get the values of a feasible point where one is found in a moment: a MIP start
for solvers that are asked to use it (``solve(m, warmstart=True)``; see ``relu.warmstart``).

Every choice is exact; they differ in time only.  Networks of one model may get
different formulations.  One line per choice says what and why: with ``tee=True`` it is
printed, it is logged (logger "pyomo.relu", level INFO), and ``summary()`` of the block
shows it.  The formulations' look-ups (``get_indicator_var`` and so on) work through
``relu.auto`` too.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from pyomo.common.collections import ComponentMap
from pyomo.common.config import Bool, ConfigValue, document_class_CONFIG
from pyomo.core.base import (
    Block,
    BooleanVar,
    Objective,
    ReverseTransformationToken,
    TransformationFactory,
    Var,
)
from pyomo.core.expr.numvalue import polynomial_degree
from pyomo.gdp import Disjunct

from pyomo_relu.block.records.bounds_in_force import has_finite_box
from pyomo_relu.block.values import put_back
from pyomo_relu.common.options import non_negative
from pyomo_relu.common.pyomo_solver import check_name
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ReLUError, TransformationError
from pyomo_relu.model.blocks import in_order
from pyomo_relu.model.options import declare
from pyomo_relu.model.surrounding import modellers_rows
from pyomo_relu.model.unit_rows import modellers_objective
from pyomo_relu.transform.auto.choice import (
    Step,
    choose,
    expected_size,
    is_gurobi,
    licensed,
)
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.parts.plan import Plan, outputs_bounded

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


logger = logging.getLogger("pyomo.relu")

#: Seconds for a first feasible point.
_START_SECONDS = 1.0

#: What is tried for it: forward passes, then successive LPs.  A solver that has any
#: point needs little time for a better one.
_QUICK, _THOROUGH = ("samples",), ("ascent",)

#: What finds bounds of inputs that have none.
_CONFINE = Step("relu.obbt")

#: Shares of the time budget for refining cells and for tightening.
_SHARE = {"relu.cells": 0.1, "relu.obbt": 0.2}


def _declare_auto(config):
    declare(
        config,
        "solver",
        default="highs",
        doc="""
        For one whose name contains "gurobi" the relaxations are solved by Gurobi too,
        where its licence takes their size.  For ``scip_direct`` and
        ``scip_persistent`` one network is written with SOS1 sets.""",
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
    config.declare(
        "initialize",
        ConfigValue(
            default=True,
            domain=Bool,
            description="set the Vars to a feasible point, if one is found in a moment",
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
    USE = "one MILP for your own solver: picks bounds and formulation, says why"
    CONFIG: ConfigDict = _declare_auto(declare(NetworkFormulation.CONFIG(), "bigM"))
    RENAMED = (("time_limit", "time_budget"),)

    def apply_within(self, call, model, **kwds):
        config = self._read_options(kwds)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        check_name(config.solver, self.NAME, TransformationError)
        call.application.describe(type(self), model, config)
        blocks = self._untransformed(model, config)
        found, confined = _bounds(call, model, blocks, config)
        alone = len(blocks) == 1
        nonlinear = _nonlinear(model, blocks)
        plans = ComponentMap(
            (b, choose(found[b], config, alone, not nonlinear)) for b in blocks
        )
        plans = licensed(plans, found, config)
        if confined:
            plans = ComponentMap((b, _after_confining(plans[b])) for b in blocks)
        for steps, group in _groups(blocks, plans):
            for step in steps:
                _apply(step, call, model, group, config)
        for block, (steps, reason) in plans.items():
            choice = f"{' then '.join(s.name for s in steps)}, because {reason}"
            if confined:
                choice = f"{_CONFINE.name} on the whole model, then {choice}"
            block.record.encoding.choice = f"{self.NAME} picked {choice}"
            _say(f"{self.NAME}: '{block.name}': {choice}", config.tee)
        start = None
        if nonlinear and "highs" in config.solver.lower():
            _say(
                f"{self.NAME}: '{nonlinear[0].name}' is not linear, which HiGHS does "
                "not take; with solver='scip_direct' or 'gurobi_direct_minlp' the "
                "choice is for those",
                config.tee,
            )
        if blocks:
            size = expected_size(plans, found)
            _say(
                f"{self.NAME}: about {counted(size.columns, 'column')} "
                f"({size.binaries} binary) and {counted(size.rows, 'row')} in all",
                config.tee,
            )
            start = _start(model.model(), config) if config.initialize else None
        return ReverseTransformationToken(
            type(self),
            model,
            config.targets or [model],
            {"application": call.application, "blocks": blocks, "start": start},
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
        _forget(token.reverse_dict["start"])


def _apply(step, call, model, blocks, config, **options):
    """Apply a transformation to some blocks, with all that relu.auto knows for it."""
    transformation = TransformationFactory(step.name)
    assert transformation is not None  # registered with the package
    options.update(_options(transformation, step, config))
    transformation.apply_within(call, model, targets=blocks, **options)


def _bounds(call, model, blocks, config):
    """CROWN's bounds of each block, and whether the whole model confined its inputs."""
    found = _crown_bounds(call, blocks, config)
    if found is not None:
        return found, False
    _apply(_CONFINE, call, model, blocks, config, scope="model")
    found = _crown_bounds(call, blocks, config, confined=True)
    assert found is not None  # an input still without bounds has raised
    return found, True


def _crown_bounds(call, blocks, config, confined=False):
    """CROWN's bounds of each block; None if an input has no bounds, unless confined."""
    found, plan = ComponentMap(), Plan(config, call)
    with outputs_bounded(call.reading) as note:
        for block in blocks:
            if not (confined or has_finite_box(block, plan.fixed_permanent)):
                return None
            found[block] = plan.crown_bounds(block)
            note(block, found[block])
    return found


def _after_confining(plan):
    """Steps and reason without a second ``relu.obbt``.

    Measured on twelve models of ``benchmarks/regret`` with rows in place of the inputs'
    bounds: it makes 2 of 743 unstable neurons stable, narrows the others by up to 4 %,
    takes up to two thirds of the seconds spent here and saves the solver none.
    """
    steps, reason = plan
    return tuple(step for step in steps if step != _CONFINE), reason


def _say(line, tee):
    """To the log, and to who asked for it."""
    logger.info(line)
    if tee:
        print(line)


def _nonlinear(model, blocks):
    """The rows and objectives around the networks that are not linear."""
    if not blocks:
        return []
    whole = model.model()
    ends = [(row, row.body) for row in modellers_rows(whole)] + [
        (objective, modellers_objective(objective).expr)
        for objective in whole.component_data_objects(Objective, active=True)
    ]
    return [c for c, expr in ends if polynomial_degree(expr) not in (0, 1)]


def _start(model, config):
    """Set all Vars to a feasible point, if one is found in a moment.

    Returns
    -------
    list of (Var, value, stale, value now), or None
        The Vars as they were before, and what they got.
    """
    warmstart = TransformationFactory("relu.warmstart")
    assert warmstart is not None  # registered with the package
    kinds = {"ctype": (Var, BooleanVar), "descend_into": (Block, Disjunct)}
    before = [(v, v.value, v.stale) for v in model.component_data_objects(**kinds)]
    seconds = _START_SECONDS
    if config.time_budget is not None:
        seconds = min(seconds, _SHARE["relu.cells"] * config.time_budget)
    given = {"time_limit": seconds, "max_rounds": 1, "warn": False}
    try:
        result = warmstart.apply_to(model, methods=_QUICK, **given)
        if not result.found:
            result = warmstart.apply_to(model, methods=_THOROUGH, **given)
    except ReLUError as error:
        logger.info(f"relu.auto: no feasible point was looked for: {error}")
        return None
    if not result.found:
        logger.info("relu.auto: no feasible point was found in a moment")
        return None
    return [(var, *was, var.value) for var, *was in before]


def _forget(start):
    """Give the Vars their old values back, if nothing set them since."""
    if start and all(var.value == value for var, _, _, value in start):
        put_back([(var, value, stale) for var, value, stale, _ in start])


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
        if is_gurobi(config):
            known["relaxation_solver"] = (
                "auto"  # Gurobi where it is there and takes the size
            )
    return {key: value for key, value in known.items() if key in transformation.CONFIG}
