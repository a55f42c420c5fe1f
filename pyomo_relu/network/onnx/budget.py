"""What reading one model may cost: its elements, nodes and seconds, counted in total.

A few bytes of ONNX can ask for tensors, nodes and loops without end.  Everything that
a load creates is therefore counted against one budget, before it is created.
"""

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from pyomo_relu.errors import BudgetExceededError, NetworkError

#: What the bookkeeping of a matrix costs, in elements.
_LEAST = 64

#: Per element that the file itself stores, so many more may be made of it: weights are
#: widened to float64, transposed and copied into layers.
_PER_STORED = 4

#: Multiply-adds per second that every machine manages, to foresee long steps.
_RATE = 1e9


@dataclass(frozen=True)
class Budget:
    """Limits for one call of :func:`~pyomo_relu.network.load_onnx`.

    Parameters
    ----------
    elements : float
        Entries of all tensors and matrices (nonzeros of sparse ones) that are made
        beyond those that the file stores, 8 to 16 bytes each.  The default keeps
        loading below 2 GiB beyond the file's own weights.
    nodes : float
        Nodes of the graph, with all branches, after inlining its functions.
    seconds : float
        CPU time of the thread that loads.  A step that is known to take longer is not
        begun.

    Raises
    ------
    NetworkError
        If a limit is not a positive number; infinity is one.
    """

    elements: float = 2**26
    nodes: float = 2**17
    seconds: float = 15.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                good = float(value) > 0
            except (TypeError, ValueError):
                good = False
            if not good:
                raise NetworkError(
                    f"Budget: {field.name} must be a positive number, not {value!r}."
                )


class _Account:
    """What one load has spent so far."""

    def __init__(self, budget):
        self.budget = budget
        self.elements_left = budget.elements
        self._end = time.thread_time() + budget.seconds
        self._safe = -math.inf

    def is_late(self, ahead):
        """Whether the time is up, or would be after ``ahead`` further seconds."""
        now = time.monotonic()
        if now + ahead < self._safe:  # far cheaper to ask for than CPU time
            return False
        left = self._end - time.thread_time()
        self._safe = now + left  # CPU time never runs faster than the clock
        return ahead > left


_account: ContextVar[_Account | None] = ContextVar("pyomo_relu_loading", default=None)


@contextmanager
def spending(budget=None):
    """Count what happens in the ``with`` block against ``budget`` (the default one)."""
    if budget is not None and not isinstance(budget, Budget):
        raise NetworkError(
            "budget= must be a pyomo_relu.network.Budget, such as "
            f"Budget(seconds=60), not {budget!r}."
        )
    token = _account.set(_Account(budget or Budget()))
    try:
        yield
    finally:
        _account.reset(token)


def grant(elements):
    """Count elements that the file itself stores: as many may be made several times."""
    account = _account.get()
    if account is not None:
        account.elements_left += _PER_STORED * int(elements)


def require(elements, what="a tensor"):
    """Raise BudgetExceededError unless ``elements`` more may be made."""
    account = _account.get()
    budget = Budget() if account is None else account.budget
    left = budget.elements if account is None else account.elements_left
    if elements > left:
        raise BudgetExceededError(
            f"{what} of {int(elements)} entries exceeds what is left of the budget of "
            f"{budget.elements:.0f} entries for all that loading creates (elements), "
            f"{_remedy('elements', budget)}"
        )


def spend(elements, what="a tensor"):
    """Count ``elements`` that are made and kept."""
    elements = max(int(elements), _LEAST)
    require(elements, what)
    account = _account.get()
    if account is not None:
        account.elements_left -= elements


def check_nodes(count):
    """Raise BudgetExceededError if the graph has more nodes than allowed."""
    account = _account.get()
    budget = Budget() if account is None else account.budget
    if count > budget.nodes:
        raise BudgetExceededError(
            f"written out, the graph and its functions have {count} nodes, which "
            f"exceeds the budget of {budget.nodes:.0f} (nodes), "
            f"{_remedy('nodes', budget)}"
        )


def check_time(operations=0.0, rate=_RATE, what="loading"):
    """Raise BudgetExceededError if the time is up, or would be after ``operations``."""
    account = _account.get()
    if account is None:
        return
    if account.is_late(operations / rate):
        raise BudgetExceededError(
            f"{what} takes longer than the budget of {account.budget.seconds:g} s for "
            f"all of loading (seconds), {_remedy('seconds', account.budget)}"
        )


def _remedy(kind, budget):
    return (
        "as files do that are damaged or hostile. Use a smaller network; or, if you "
        f"trust the file, raise the limit: load_onnx(..., budget=Budget({kind}="
        f"{4 * getattr(budget, kind):.0f})) with Budget from pyomo_relu.network."
    )
