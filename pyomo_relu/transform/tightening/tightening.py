"""What the transformations that record bounds share."""

from __future__ import annotations

import logging
from dataclasses import replace

from pyomo.common.config import Bool, ConfigDict, ConfigValue
from pyomo.core.base import ReverseTransformationToken, Transformation

from pyomo_relu import bounds as bounds_
from pyomo_relu.block.records.applications import Call
from pyomo_relu.block.records.bounds_in_force import (
    bounds_in_force,
    bounds_in_force_on_each,
)
from pyomo_relu.block.records.bounds_runs import BoundsRun, release_void_bounds
from pyomo_relu.bounds.methods import BY_SOLVER
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.options import read_options
from pyomo_relu.common.progress import progress_bars
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import in_disjunct, network_blocks
from pyomo_relu.model.options import declare
from pyomo_relu.model.reads import protected_vars

logger = logging.getLogger("pyomo.relu")


def _config():
    config = ConfigDict("relu bounds")
    declare(config, "targets", "reverse", "assume_fixed_vars_permanent")
    declare(config, "time_limit", doc="Interval arithmetic always runs.")
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
    declare(config, "progress")
    return declare(config, "tee", doc="A progress bar, then the statistics as a table.")


class BoundTransformation(Transformation):
    """Base of the transformations that record proven bounds on network blocks."""

    NAME = None
    CONFIG = _config()
    #: Options for which None means something although it is not the default.
    NONE_ALLOWED = ()
    #: (old name, present name) of options.
    RENAMED = ()

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        show_module_docstring(cls)

    def _methods(self, config):
        """Keyword arguments for ``bounds.tighten``."""
        raise NotImplementedError(f"{type(self).__name__} names no bound methods.")

    @transaction
    def _apply_to(self, model, **kwds):
        return self.apply_within(Call(), model, **kwds)

    def apply_within(self, call, model, **kwds):
        """As ``apply_to``, as a part of another call and within its transaction."""
        config = read_options(
            self.NAME,
            self.CONFIG,
            kwds,
            none=self.NONE_ALLOWED,
            renamed=self.RENAMED,
        )
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        call.application.describe(type(self), model, config)
        blocks = network_blocks(model, config.targets, self.NAME)
        for block in blocks:
            if block.record.encoding is not None:
                raise TransformationError(
                    f"{self.NAME}: '{block.name}' is already encoded by "
                    f"{block.record.encoding.formulation.NAME}, whose coefficients "
                    f"would not profit. Reverse that, apply {self.NAME}, and encode "
                    "again."
                )
        fixed = config.assume_fixed_vars_permanent
        release_void_bounds(blocks, fixed, call.reading)
        saved = BoundsRun(self.NAME, blocks, application=call.application)
        self._tighten(model, blocks, saved, config, call.reading)
        saved.keep()
        return ReverseTransformationToken(
            type(self), model, config.targets or [model], {"saved": saved}
        )

    def _tighten(self, model, blocks, saved, config, reading):
        deadline = Deadline(config.time_limit)
        together, shared = self._found_together(blocks, config, deadline, reading), {}
        for block in blocks:
            found = together.get(id(block))
            if found is None:
                self._tighten_block(block, saved, config, deadline, reading, shared)
            else:
                self._record(block, *found, saved, config)

    def _tighten_block(self, block, saved, config, deadline, reading, shared):
        """Bounds over the block's own input box, recorded on the block.

        What was found in this call for the same network and the same start counts for
        the block as well.
        """
        start = bounds_in_force(block, config.assume_fixed_vars_permanent, reading)
        key = start.content
        if key in shared:
            found = shared[key]
        else:
            found = *self._found(block, start, config, deadline), None
            shared[key] = *found[:2], block.name
        self._record(block, *found, saved, config)

    def _record(self, block, bounds, statistics, first, saved, config):
        """Record what was found, maybe for the block called ``first``, too."""
        if first is not None:
            note = f"bounded once for all blocks like '{first}'"
            statistics = replace(statistics, notes=[*statistics.notes, note])
        block.record.bounds = bounds
        self._report(block, bounds, statistics, saved, config)

    def _found_together(self, blocks, config, deadline, reading):
        """Bounds of blocks of one network on boxes that no other block's bounds change.

        Returns
        -------
        dict
            By a block's id: NeuronBounds, TighteningStatistics, and the name of the
            block that they were found for if that is another one.
        """
        # not with the package, which loads no numpy
        from pyomo_relu.bounds.solver_free import tighten_several
        from pyomo_relu.bounds.tightening import check_methods

        options = self._methods(config)
        check_methods(options["methods"])
        if len(blocks) < 2 or not set(options["methods"]).isdisjoint(BY_SOLVER):
            return {}
        options = {
            name: options[name] for name in ("methods", "max_cells", "alpha_steps")
        }
        computed = {id(var) for block in blocks for var in block.output_vars()}
        groups = {}
        for block in blocks:
            given = block.input_expressions().values()
            follows = any(not isinstance(e, float) for e in given)
            if not follows and computed.isdisjoint(map(id, block.input_vars())):
                groups.setdefault(block.network, []).append(block)
        found = {}
        for members in groups.values():
            if len(members) == 1:
                continue
            fixed = config.assume_fixed_vars_permanent
            starts = bounds_in_force_on_each(members, fixed, reading)
            first = {}  # by what they start from
            for i, block in enumerate(members):
                key = starts.content(i, whole=block.record.has_bounds)
                first.setdefault(key, []).append(i)
            at = [same[0] for same in first.values()]
            bounds, statistics = tighten_several(
                starts[at], time_limit=deadline.left(), **options
            )
            each = zip(first.values(), bounds.records(), statistics, strict=True)
            for same, *result in each:
                name = members[same[0]].name if len(same) > 1 else None
                for i in same:
                    other = None if i == same[0] else name
                    found[id(members[i])] = *result, other
        return found

    def _found(self, block, start, config, deadline):
        with progress_bars(config.progress or config.tee, block.name) as progress:
            return bounds_.tighten(
                block.network,
                start.input_lower,
                start.input_upper,
                start=start,
                time_limit=deadline.left(),
                progress=progress,
                **self._methods(config),
            )

    def _report(self, block, bounds, statistics, saved, config):
        if statistics.interrupted:
            raise KeyboardInterrupt
        block.record.statistics = statistics
        if config.tighten_var_bounds:
            in_any = in_disjunct(block) is not None
            # the block's own outputs are as free without the Disjunct as its neurons
            outputs_too = not in_any or block.owns("outputs")
            saved.tighten_neurons(block, bounds, protected_vars(block), outputs_too)
        if config.tee:
            print(f"{self.NAME}: {block.name}\n{statistics}")
        if not logger.isEnabledFor(logging.INFO):
            return
        notes = "".join(f"; {note}" for note in statistics.notes)
        logger.info(
            f"{self.NAME}: {block.name}: {bounds.n_stable} of "
            f"{counted(bounds.network.n_neurons, 'neuron')} stable after "
            f"{counted(statistics.solves, 'solve')}, {statistics.seconds:.2f} "
            f"seconds{notes}"
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
