"""What runs of bound methods left on blocks and Vars: kept, undone, or void and released.

No bound is computed here.
"""

import logging

from pyomo.common.autoslots import AutoSlots

from pyomo_relu.block.records.applications import next_stamp
from pyomo_relu.block.records.var_bounds import TightenedVars
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.common.transaction import on_rollback, transaction
from pyomo_relu.errors import ModelError, TransformationError

logger = logging.getLogger("pyomo.relu")

#: Name of the runs that record bounds which the modeller brought.
GIVEN = "use_bounds"


class BoundsRun(AutoSlots.Mixin):
    """Everything that one run of relu.bounds, relu.obbt or use_bounds changed.

    Parameters
    ----------
    name : str
        The transformation, or ``GIVEN``.
    blocks : list of ReLUNetworkBlockData
        On which it records bounds.
    brought : NeuronBounds, optional
        What the modeller brought.
    application : Application, optional
        The call that it is part of.

    Attributes
    ----------
    conditions : ModelConditions or None
        What was used of the model around the networks.
    """

    __slots__ = (
        "_records",
        "application",
        "blocks",
        "boxes",
        "brought",
        "conditions",
        "name",
        "stamp",
        "variables",
    )

    def __init__(self, name, blocks, brought=None, application=None):
        self.name, self.blocks, self.brought = name, list(blocks), brought
        self.application, self.stamp = application, next_stamp()
        self.conditions = None
        fixed = self.application is None or self.application.fixed_permanent
        self.boxes = [block.input_box(fixed) for block in self.blocks]
        self._records = [
            (b, b.record.bounds, b.record.model_bounds, b.record.statistics)
            for b in blocks
        ]
        self.variables = TightenedVars()

    @property
    def tightened(self):
        """True if some Var's bounds were tightened."""
        return any(True for _ in self.variables)

    def tighten(self, var, lower, upper):
        """Tighten one Var's bounds."""
        self.variables.tighten(var, lower, upper)

    def tighten_neurons(self, block, bounds, protected, outputs_too):
        """Tighten pre, post and output Vars, but for ids that are ``protected``."""
        columns = NetworkColumns(block)
        layers = [*zip(columns.pre, bounds.lower, bounds.upper, strict=True)]
        if not outputs_too:
            layers = layers[:-1]
        layers += [(x, *bounds.post_bounds(k)) for k, x in enumerate(columns.post)]
        for variables, lower, upper in layers:
            lower, upper = lower.tolist(), upper.tolist()
            if protected:
                free = [i for i, v in enumerate(variables) if id(v) not in protected]
                variables, lower, upper = (
                    [values[i] for i in free] for values in (variables, lower, upper)
                )
            self.variables.tighten_all(variables, lower, upper)

    def become(self, other):
        """Take the place of another run, for the tokens that know this one."""
        for block in other.blocks:
            record = block.record
            record.runs = [self if run is other else run for run in record.runs]
        for name in self.__slots__:
            on_rollback(setattr, self, name, getattr(self, name))
            setattr(self, name, getattr(other, name))

    def keep(self):
        """Remember the run on its blocks, on top of the earlier ones."""
        for block in self.blocks:
            block.record.runs = [*block.record.runs, self]

    def check_last(self, name):
        """Raise unless this run is the last one on each of its blocks."""
        for block in self.blocks:
            runs = block.record.runs
            if not any(run is self for run in runs):
                raise TransformationError(
                    f"{name}: what the token stands for is no longer on "
                    f"'{block.name}': it was undone before, or dropped because it no "
                    "longer held."
                )
            if runs[-1] is not self:
                last = runs[-1].name
                given = f"Call {block.name}.use_bounds(None)"
                how = given if last == GIVEN else "Reverse that"
                raise TransformationError(
                    f"{name}: {last} was applied to '{block.name}' after it. "
                    f"{how} first."
                )
            _check_not_encoded(block, name)

    def restore(self):
        """Put everything back."""
        self.variables.restore()
        for block, *recorded in self._records:
            record = block.record
            record.bounds, record.model_bounds, record.statistics = recorded
            record.runs = [run for run in record.runs if run is not self]


def void_reason(block, assume_fixed_vars_permanent=True, reading=None):
    """Why bounds recorded on a block do not hold for the model as it is, or None."""
    record = block.record
    if not record.runs:
        return None
    if record.bounds is not None and not record.bounds.covers(
        *block.input_box(assume_fixed_vars_permanent)
    ):
        return "the bounds of its inputs were widened (or an input was unfixed)"
    return conditions_violated(block, assume_fixed_vars_permanent, reading)


def conditions_violated(block, assume_fixed_vars_permanent=True, reading=None):
    """What recorded bounds used of the model and no longer holds, or None."""
    for conditions in block.record.conditions():
        void = conditions.violated(assume_fixed_vars_permanent, reading)
        if void is not None:
            return void
    return None


def check_up_to_date(block):
    """Raise if a block's rows, or Var bounds set by bound methods, may be wrong.

    Raises
    ------
    ModelError
        Says what was changed, and what to do.
    """
    encoding = block.record.encoding
    if encoding is None:
        reason = void_reason(block)
        if reason is not None and any(r.tightened for r in block.record.runs):
            raise ModelError(
                f"{block.name}: {reason} after {block.record.runs[-1].name} was "
                "applied, so the Var bounds that it set may cut off solutions. "
                "Call refresh(), or apply it again."
            )
        return
    reason = encoding.outdated()
    if reason is not None:
        raise ModelError(
            f"{block.name}: {reason} after {encoding.formulation.NAME} was applied, "
            "so its rows no longer fit the model. Call refresh(), or reverse it and "
            "apply it again."
        )


def warn_of_restricted_outputs(block):
    """Name the modeller's output Vars that carry bounds proven with a block's network.

    For blocks that are deactivated: nothing confines their outputs any more.
    """
    if block.owns("outputs"):
        return
    runs = block.record.runs
    tightened = {id(v) for run in runs for v in run.variables.restricted()}
    names = [var.name for var in block.output_vars() if id(var) in tightened]
    if names:
        logger.warning(
            f"{block.name} was deactivated, but bounds that {runs[-1].name} proved with "
            f"its network stay on {', '.join(names[:5])}. Reverse it if they should go "
            "too."
        )


@transaction
def release_void_bounds(blocks, assume_fixed_vars_permanent=True, reading=None):
    """Undo the runs on blocks whose recorded bounds no longer hold.

    Their Var bounds would cut off solutions of the model as it is now.

    Raises
    ------
    TransformationError
        If a block was encoded with such bounds.
    """
    reading = reading or ModelReading()
    # what is undone may have been what bounds of other blocks rest on
    while any(
        _release_if_void(b, assume_fixed_vars_permanent, reading) for b in blocks
    ):
        reading.forget()


def _release_if_void(block, assume_fixed_vars_permanent, reading):
    """Undo the runs on a block if its bounds no longer hold; True if that was so."""
    reason = void_reason(block, assume_fixed_vars_permanent, reading)
    if reason is None:
        return False
    runs = _free_runs(block)
    logger.warning(
        f"{block.name}: bounds recorded by {', '.join(r.name for r in runs)} are "
        f"dropped, because {reason}. Apply {runs[-1].name} again."
    )
    _undo_all(runs)
    return True


def take_back(block):
    """Undo what ``use_bounds`` recorded on a block, and all that was built on it.

    Raises
    ------
    TransformationError
        If a block was encoded with such bounds.
    """
    runs = _free_runs(block)
    first = next((n for n, run in enumerate(runs) if run.name == GIVEN), len(runs))
    _undo_all(runs[first:])


def _free_runs(block):
    """The runs on a block, once it is clear that no encoding rests on them."""
    runs = list(block.record.runs)
    for run in runs:
        for other in run.blocks:
            _check_not_encoded(other, run.name)
    return runs


def _undo_all(runs):
    """Undo runs and whatever was applied on top of them, last first."""
    for run in reversed(runs):
        later = {
            id(top): top
            for block in run.blocks
            for top in block.record.runs[_place(block, run) + 1 :]
        }
        _undo_all(list(later.values()))
        if any(run is r for block in run.blocks for r in block.record.runs):
            run.restore()


def _place(block, run):
    for at, other in enumerate(block.record.runs):
        if other is run:
            return at
    return len(block.record.runs)


def _check_not_encoded(block, name):
    encoding = block.record.encoding
    if encoding is not None:
        raise TransformationError(
            f"{name}: '{block.name}' was encoded by {encoding.formulation.NAME} with "
            "these bounds. Reverse that first."
        )
