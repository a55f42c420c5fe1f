"""relu.obbt: optimization-based bound tightening of pre-activations.

Per neuron, the smallest and largest pre-activation over a relaxation of the network:
LPs over the triangle relaxation, layer by layer, on the neurons that interval
arithmetic, CROWN and input splitting leave undecided; optionally MILPs on windows of
layers.  Every bound is proven from the dual side.  With ``scope="model"`` the
modeller's linear constraints, links between networks, bounds on outputs and, if given,
an objective cutoff take part, and inputs are tightened too; such bounds hold at the
model's feasible points and are dropped when a constraint they rest on is gone.

Adds nothing to the model; tightens Var bounds unless told not to.

Sources: Plate et al., arXiv 2502.03016, eq. (8); Grimstad and Andersson, Computers &
Chemical Engineering 131 (2019); Zhao et al., arXiv 2401.05280 (windows).
"""

from __future__ import annotations

import contextlib
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pyomo.common.config import (
    Bool,
    ConfigValue,
    In,
    PositiveInt,
    document_class_CONFIG,
)
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.options import non_negative, number
from pyomo_relu.common.progress import progress_bars
from pyomo_relu.errors import BoundsError, InfeasibleError, TransformationError
from pyomo_relu.model.blocks import in_disjunct, network_blocks
from pyomo_relu.model.conditions import ModelConditions
from pyomo_relu.model.contradiction import SECONDS, contradiction
from pyomo_relu.model.options import declare
from pyomo_relu.model.surrounding import read_surrounding, warn_of_left_out
from pyomo_relu.transform.tightening.bounds import declare_solver_free
from pyomo_relu.transform.tightening.tightening import BoundTransformation

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict


logger = logging.getLogger("pyomo.relu")

#: What solvers' tolerances may be worth in the objective, relative to its terms.
_CUTOFF_TOLERANCE = 1e-6


def _config():
    config = declare_solver_free(
        BoundTransformation.CONFIG(), ("interval", "crown", "split", "lp")
    )
    declare(
        config,
        "scope",
        doc="""
        "network": each network over its input box.  "model": all networks together with
        the modeller's active linear constraints; integer Vars are relaxed, nonlinear
        constraints are left out (a warning names them).""",
    )
    declare(
        config,
        "relaxation_solver",
        default=None,
        doc="""
        Default: HiGHS for LPs, "auto" for the MILPs of method "milp".""",
    )
    declare(
        config,
        "threads",
        doc="""
        Local processes, as in gdp.mbigm; the bounds are the same for any number.""",
    )
    config.declare(
        "process_start_method",
        ConfigValue(
            default=None,
            domain=In([None, "fork", "spawn", "forkserver"]),
            description="how processes start, as in gdp.mbigm",
            doc="""
            Default: 'fork' where there is one, unless this process has threads, in
            which case 'forkserver'; 'spawn' elsewhere.  With 'spawn' and 'forkserver'
            the calling script needs ``if __name__ == "__main__":``.""",
        ),
    )
    declare(
        config, "executor", doc="The bounds are the same whatever runs LPs and MILPs."
    )
    config.declare(
        "stop_at_sign",
        ConfigValue(
            default=False,
            domain=Bool,
            description="leave a neuron alone once its state is known",
        ),
    )
    config.declare(
        "window",
        ConfigValue(
            default=None,
            domain=PositiveInt,
            description="layers in each MILP of method 'milp'; default: all",
        ),
    )
    config.declare(
        "solve_limit",
        ConfigValue(
            default=None,
            domain=non_negative,
            description="seconds for each MILP; its dual bound counts then",
        ),
    )
    config.declare(
        "objective_cutoff",
        ConfigValue(
            default=None,
            domain=number,
            description="with scope='model': only points at least this good count",
            doc="""
            The objective value of a known solution.  Bounds then hold only for points
            that are no worse: fine for optimising, wrong for anything else.  They are
            dropped once the objective changes, or the model is restricted further so
            that the solution may no longer be feasible.""",
        ),
    )
    return config


@TransformationFactory.register(
    "relu.obbt", doc="Tighten pre-activation bounds by LPs and MILPs (OBBT)"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class OBBT(BoundTransformation):
    """Tighten pre-activation bounds by optimization; see the module's docstring."""

    NAME = "relu.obbt"
    CONFIG: ConfigDict = _config()
    NONE_ALLOWED = ("threads",)
    RENAMED = (("solver", "relaxation_solver"),)

    def _methods(self, config):
        return {
            "methods": config.methods,
            "max_cells": config.max_cells,
            "alpha_steps": config.alpha_steps,
            "window": config.window,
            "solve_limit": config.solve_limit,
            **self._solving(config),
        }

    def _solving(self, config):
        return {
            "solver": config.relaxation_solver,
            "executor": config.executor,
            "stop_at_sign": config.stop_at_sign,
        }

    def _tighten(self, model, blocks, saved, config, reading):
        if config.objective_cutoff is not None and config.scope != "model":
            raise TransformationError(
                "relu.obbt: objective_cutoff needs scope='model'; within one network "
                "there is no objective."
            )
        with _executor(config) as config.executor:
            if config.scope == "model":
                self._tighten_model(model, blocks, saved, config, reading)
            else:
                super()._tighten(model, blocks, saved, config, reading)

    # -- the whole model -----------------------------------------------------------

    def _tighten_model(self, model, blocks, saved, config, reading):

        deadline = Deadline(config.time_limit)
        inside = [b for b in blocks if in_disjunct(b)]
        everywhere = [
            b for b in network_blocks(model, None, self.NAME) if not in_disjunct(b)
        ]
        if everywhere:
            self._tighten_joint(model, blocks, everywhere, saved, config, deadline)
        shared = {}
        for block in inside:
            # what holds only while a Disjunct does takes no part in the relaxation
            self._tighten_block(block, saved, config, deadline, reading, shared)

    def _tighten_joint(self, model, blocks, everywhere, saved, config, deadline):
        """All networks that always hold, in one relaxation with the model's rows."""
        surrounding = read_surrounding(
            model, everywhere, config.assume_fixed_vars_permanent
        )
        warn_of_left_out(surrounding, self.NAME)
        saved.conditions = ModelConditions(model, surrounding, config.objective_cutoff)
        found = self._solve_model(surrounding, everywhere, config, deadline)
        if config.tighten_var_bounds:
            functions = surrounding.embedded.functions
            for j in np.unique(np.concatenate([f.inputs for f in functions])):
                saved.tighten(
                    surrounding.variables[j],
                    found.lower[j].item(),
                    found.upper[j].item(),
                )
        for block, bounds in zip(everywhere, found.networks, strict=True):
            if any(block is b for b in blocks):
                self._record_model(block, bounds, found, saved, config)

    def _solve_model(self, surrounding, blocks, config, deadline):
        functions = zip(surrounding.embedded.functions, blocks, strict=True)
        embedded = [replace(f, network=b.encoded_network) for f, b in functions]
        cutoff = _cutoff(surrounding, config.objective_cutoff)
        from pyomo_relu.bounds.model_tightening import tighten_model

        options = {
            "methods": config.methods,
            "alpha_steps": config.alpha_steps,
            **self._solving(config),
        }

        def proves(part, seconds):
            try:
                tighten_model(part, embedded, time_limit=seconds, **options)
            except InfeasibleError:
                return True
            return False

        with progress_bars(config.progress or config.tee) as progress:
            try:
                found = tighten_model(
                    surrounding.linear,
                    embedded,
                    cutoff=cutoff,
                    time_limit=deadline.left(),
                    progress=progress,
                    **options,
                )
            except InfeasibleError as error:
                seconds = deadline.left(SECONDS)
                raise InfeasibleError(
                    f"{self.NAME}: '{surrounding.blocks[0].model().name}' is "
                    f"infeasible. {contradiction(surrounding, cutoff, seconds, proves)} "
                    f"(Found while bounding network blocks {_names(blocks)}: {error})"
                ) from None
        if found.statistics.interrupted:
            raise KeyboardInterrupt
        return found

    def _record_model(self, block, bounds, found, saved, config):
        if bounds is None:
            names = [
                v.name
                for v, lo, hi in zip(
                    block.input_vars(), *block.input_box(), strict=True
                )
                if not np.isfinite(hi - lo)
            ]
            raise BoundsError(
                f"{self.NAME}: neither Var bounds nor constraints confine the inputs "
                f"{', '.join(names)} of '{block.name}'. Set bounds on them."
            )
        block.record.model_bounds = bounds
        self._report(block, bounds, found.statistics, saved, config)


def _names(blocks):
    return ", ".join(f"'{b.name}'" for b in blocks)


def _cutoff(surrounding, value):
    """Columns, coefficients and right side of ``objective no worse than value``.

    A value of a solution is known up to rounding, of which the objective's constant
    leaves more the larger it is, and up to solvers' tolerances; the row lets so much
    more through that the solution itself is never cut off.
    """
    from pyomo_relu.linear.rounding import OF_FEW_TERMS

    if value is None:
        return None
    if surrounding.costs is None:
        raise TransformationError(
            "relu.obbt: objective_cutoff needs exactly one active linear objective."
        )
    if not math.isfinite(value):
        raise TransformationError(
            f"relu.obbt: objective_cutoff={value} is not the value of a solution. Leave "
            "it out if none is known."
        )
    sign = -1.0 if surrounding.maximise else 1.0
    at = np.flatnonzero(surrounding.costs)
    costs, linear = surrounding.costs[at], surrounding.linear
    reach = np.maximum(np.abs(linear.lower[at]), np.abs(linear.upper[at]))
    terms = float(np.sum(np.abs(costs) * np.minimum(reach, 1.0)))
    limit = sign * value - surrounding.embedded.constant
    rounding = abs(value) + abs(surrounding.embedded.constant)
    limit += _CUTOFF_TOLERANCE * max(abs(limit), terms) + OF_FEW_TERMS * rounding
    return at, costs, limit


@contextlib.contextmanager
def _executor(config):
    """The given executor, or a pool of ``threads`` local processes, or None."""
    if config.executor is not None or config.threads in (None, 1):
        yield config.executor
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from pyomo_relu.common.executor import start_method

    context = multiprocessing.get_context(config.process_start_method or start_method())
    with ProcessPoolExecutor(config.threads, mp_context=context) as pool:
        yield pool
