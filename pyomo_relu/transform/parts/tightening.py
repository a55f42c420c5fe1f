"""What the transformations that record bounds share."""

from __future__ import annotations

import logging

from pyomo.common.config import Bool, ConfigDict, ConfigValue
from pyomo.core.base import ReverseTransformationToken, Transformation

from pyomo_relu import bounds as bounds_
from pyomo_relu.block.applications import application, describe_application
from pyomo_relu.block.bounds_runs import BoundsRun, release_void_bounds
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.model_reading import model_read_once
from pyomo_relu.common.options import non_negative, read_options
from pyomo_relu.common.progress import progress_bars
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import network_blocks
from pyomo_relu.transform.base import in_disjunct, protected_vars
from pyomo_relu.transform.options import declare_fixed_inputs, declare_targets

logger = logging.getLogger("pyomo.relu")


def _config():
    config = declare_fixed_inputs(declare_targets(ConfigDict("relu bounds")))
    config.declare(
        "time_limit",
        ConfigValue(
            default=None,
            domain=non_negative,
            description="seconds for all blocks together",
            doc="""
            What is proven by then is kept; interval arithmetic always runs.""",
        ),
    )
    config.declare(
        "tighten_var_bounds",
        ConfigValue(
            default=True,
            domain=Bool,
            description="whether to put the bounds on the Vars too",
            doc="""
            If True the bounds of pre, post and output Vars (and, with scope="model", of
            inputs) are tightened; reversing restores them.  Fixed Vars, values and
            objectives are never touched.""",
        ),
    )
    config.declare(
        "progress",
        ConfigValue(
            default=False,
            domain=Bool,
            description="show a progress bar (tqdm)",
        ),
    )
    config.declare(
        "tee",
        ConfigValue(
            default=False,
            domain=Bool,
            description="show a progress bar and print the statistics as a table",
        ),
    )
    return config


class BoundTransformation(Transformation):
    """Base of the transformations that record proven bounds on network blocks."""

    NAME = None
    CONFIG: ConfigDict = _config()

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        show_module_docstring(cls)

    def _methods(self, config):
        """Keyword arguments for ``bounds.tighten``."""
        raise NotImplementedError(f"{type(self).__name__} names no bound methods.")

    @transaction
    def _apply_to(self, model, **kwds):
        with model_read_once(), application():
            return self._apply(model, kwds)

    def _apply(self, model, kwds):
        config = read_options(self.NAME, self.CONFIG, kwds)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        describe_application(type(self), model, config)
        blocks = network_blocks(model, config.targets, self.NAME)
        for block in blocks:
            if block.record.encoding is not None:
                raise TransformationError(
                    f"{self.NAME}: '{block.name}' is already encoded by "
                    f"{block.record.encoding.formulation.NAME}, whose coefficients "
                    f"would not profit. Reverse that, apply {self.NAME}, and encode "
                    "again."
                )
        release_void_bounds(blocks, config.assume_fixed_vars_permanent)
        saved = BoundsRun(self.NAME, blocks)
        self._tighten(model, blocks, saved, config)
        saved.keep()
        return ReverseTransformationToken(
            type(self), model, config.targets or [model], {"saved": saved}
        )

    def _tighten(self, model, blocks, saved, config):
        deadline = Deadline(config.time_limit)
        for block in blocks:
            self._tighten_block(block, saved, config, deadline)

    def _tighten_block(self, block, saved, config, deadline):
        """Bounds over the block's own input box, recorded on the block."""
        start = block.neuron_bounds(config.assume_fixed_vars_permanent)
        with progress_bars(config.progress or config.tee, block.name) as progress:
            bounds, statistics = bounds_.tighten(
                block.network,
                start.input_lower,
                start.input_upper,
                start=start,
                time_limit=deadline.left(),
                progress=progress,
                **self._methods(config),
            )
        block.record.bounds = bounds
        self._report(block, bounds, statistics, saved, config)

    def _report(self, block, bounds, statistics, saved, config):
        if statistics.interrupted:
            raise KeyboardInterrupt
        block.record.statistics = statistics
        if config.tighten_var_bounds:
            in_any = in_disjunct(block) is not None
            saved.tighten_neurons(block, bounds, protected_vars(block), not in_any)
        if config.tee:
            print(f"{self.NAME}: {block.name}\n{statistics}")
        logger.info(
            f"{self.NAME}: {block.name}: {bounds.n_stable} of "
            f"{counted(bounds.network.n_neurons, 'neuron')} stable after "
            f"{counted(statistics.solves, 'solve')}, {statistics.seconds:.2f} seconds"
        )

    def _undo(self, model, token):
        token.check_token_valid(type(self), model, None)
        run = token.reverse_dict["saved"]
        run.check_last(self.NAME)
        run.restore()

    def get_statistics(self, block):
        """The TighteningStatistics of the last run on a network block."""
        statistics = getattr(getattr(block, "record", None), "statistics", None)
        if statistics is None:
            raise TransformationError(
                f"no bounds were recorded on '{block.name}'; apply relu.bounds or "
                "relu.obbt to it."
            )
        return statistics
