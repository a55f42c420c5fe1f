"""relu.warmstart: search for a good feasible point and set every Var to it.

The Vars of the modeller, the inputs, pre-activations, post-activations and outputs of
all network blocks and, where a formulation was applied before, its indicators get the
values of one feasible point of the whole model: a MIP start, and what an NLP or MINLP
solver begins at.  The model's own rows may be nonlinear (see
``pyomo_relu.search.find_point``).  Nothing else changes: no Var, row, bound or fixing.
Which interfaces pass a start on (tried with Pyomo 6.10, but for ipopt):

===========================================  =======================================
solver                                       how to pass the values on
===========================================  =======================================
appsi_highs                                  ``solve(m, warmstart=True)``
gurobi, gurobi_direct, gurobi_persistent     ``solve(m, warmstart=True)``
gurobi_direct_v2, gurobi_persistent_v2,      ``opt.config.warmstart_discrete_vars``
gurobi_direct_minlp                          set to True; integer Vars only
scip_direct, scip_persistent                 the same; integer Vars only
ipopt                                        by itself: it begins at the Vars' values
highs                                        cannot: ``warmstart=`` is a TypeError
appsi_gurobi                                 cannot: ``warmstart=True`` is ignored
relu.branch                                  needs none: it searches by itself
===========================================  =======================================

Interfaces that pass on integer Vars only have nothing to pass where neither formulation
nor model has integers (``relu.sos1``, ``relu.complementarity``); with integers a solver
still has to find the values of nonlinear rows' other Vars.

Adds nothing.  Choose it before a MILP solver whenever a first incumbent is late; apply
it after the formulation.

Sources: see ``pyomo_relu.search.find_point``.
"""

from __future__ import annotations

import logging

from pyomo.common.collections import ComponentMap
from pyomo.common.config import (
    Bool,
    ConfigDict,
    ConfigValue,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Transformation, TransformationFactory

from pyomo_relu.block.values import (
    initialize_blocks,
    point,
    put_back,
    saved_values,
)
from pyomo_relu.common.arguments import is_sequence
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.options import read_options
from pyomo_relu.common.pyomo_solver import check_name
from pyomo_relu.common.transaction import on_rollback, transaction
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import network_blocks, refuse_disjuncts
from pyomo_relu.model.options import declare
from pyomo_relu.search.starts import HOW_TO_START

logger = logging.getLogger("pyomo.relu")


def _config() -> ConfigDict:
    config = ConfigDict("relu.warmstart")
    config.declare(
        "start",
        ConfigValue(
            default=None,
            description="input points to begin with, by network block",
            doc="""
            A mapping from network blocks to input points, a sequence of points in
            model order or, with a single network block, one point.  It need not be
            feasible: the best point of its linear regions is taken.""",
        ),
    )
    declare(
        config,
        "methods",
        default=("samples", "ascent", "walk"),
        doc="""
        Out of samples, ascent, walk, sample_mip; round after round.  The last two need
        linear rows and are left out where some are not.  An empty sequence only
        completes ``start``.""",
    )
    declare(
        config, "time_limit", default=10.0, doc="None searches until nothing is gained."
    )
    declare(
        config,
        "max_rounds",
        doc="""
        A round runs all methods.  None searches until nothing is gained.""",
    )
    config.declare(
        "warn",
        ConfigValue(
            default=True,
            domain=Bool,
            description="whether it is worth a warning that nothing was found",
        ),
    )
    declare(config, "nlp_solver", "seed", "progress")
    declare(
        config,
        "solver",
        doc="""
        If given, a solver that cannot take a start is an error before any search, and
        how it takes one is logged.""",
    )
    return config


@TransformationFactory.register(
    "relu.warmstart",
    doc="Set all Vars to a good feasible point: a MIP start (Tong et al., 2401.03451)",
)
@document_class_CONFIG(methods=["apply_to"])
@show_module_docstring
class WarmStart(Transformation):
    """Set all Vars to a good feasible point; see the module's docstring.

    ``apply_to`` returns the SearchResult.  If nothing was found, that is logged as a
    warning and all values stay as they were.
    """

    CONFIG: ConfigDict = _config()

    @transaction
    def _apply_to(self, model, **kwds):
        from pyomo_relu.search.find import find_point

        config = read_options("relu.warmstart", self.CONFIG, kwds, none=["time_limit"])
        self._check_solver(config.solver)
        if not config.methods and config.start is None:
            raise TransformationError(
                "relu.warmstart: methods=() leaves nothing to do without a start; give "
                "start={block: point} or search methods."
            )
        blocks = network_blocks(model, None, "relu.warmstart")
        refuse_disjuncts(blocks, "relu.warmstart")
        start = _checked_start(config.start, blocks)
        result = find_point(
            model,
            methods=config.methods or ("samples",),
            time_limit=config.time_limit,
            seed=config.seed,
            progress=config.progress,
            start=start,
            max_rounds=config.max_rounds if config.methods else 0,
            nlp_solver=config.nlp_solver,
        )
        if not result.found:
            logger.log(
                logging.WARNING if config.warn else logging.INFO,
                f"relu.warmstart: {result.message} All values of '{model.name}' stay "
                "as they were.",
            )
            return result
        on_rollback(put_back, saved_values(blocks, result.values))
        initialize_blocks([(b, point(b, result.inputs[b])) for b in blocks])
        for var, value in result.values.items():
            if not var.fixed:
                value = value if var.is_continuous() else round(value)
                var.set_value(value, skip_validation=True)
        return result

    @staticmethod
    def _check_solver(solver):
        if solver is None:
            return
        if solver not in HOW_TO_START:
            check_name(solver, "relu.warmstart", TransformationError)
            logger.warning(
                f"relu.warmstart: whether solver '{solver}' takes a start is not "
                f"known; those that do: {', '.join(_able())}."
            )
            return
        how = HOW_TO_START[solver]
        if how is None:
            raise TransformationError(
                f"relu.warmstart: Pyomo passes no start on to solver '{solver}'. Use "
                f"one of {', '.join(_able())}."
            )
        logger.info(f"relu.warmstart: '{solver}' takes the start by {how}.")


def _checked_start(start, blocks):
    """The option ``start`` with one array of finite numbers per point, or None."""
    if start is None:
        return None
    if hasattr(start, "keys"):
        points = [(block, _numbers(point)) for block, point in start.items()]
        if all(point is not None for _, point in points):
            return ComponentMap(points)
    elif is_sequence(start):
        points = list(start)
        if len(blocks) == 1 and not any(np.iterable(entry) for entry in points):
            points = [points]
        arrays = [a for a in map(_numbers, points) if a is not None]
        if len(arrays) == len(points) == len(blocks):
            return arrays
    raise TransformationError(
        f"relu.warmstart: start={start!r:.80} gives no input points. Give a mapping "
        "from network blocks to points, one point per network block in the model's "
        f"order ({len(blocks)} here), or with a single block its point; a point is a "
        "sequence of finite numbers."
    )


def _numbers(point):
    """A point as an array, or None if it is no sequence of finite numbers."""
    try:
        array = np.ravel(np.asarray(point, dtype=float))
    except (TypeError, ValueError):
        return None
    return array if np.all(np.isfinite(array)) else None


def _able():
    return [name for name, how in HOW_TO_START.items() if how is not None]
