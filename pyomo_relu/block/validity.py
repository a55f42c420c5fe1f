"""Whether what is in force on a network block fits the model as it is now."""

from pyomo_relu.block.bounds_runs import void_reason
from pyomo_relu.errors import ModelError


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
