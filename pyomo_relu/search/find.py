"""find_point: a good feasible point of a whole Pyomo model, by the methods named."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pyomo.common.collections import ComponentMap
from pyomo.common.deprecation import deprecation_warning

from pyomo_relu.block.records.bounds_runs import release_void_bounds
from pyomo_relu.block.values import point
from pyomo_relu.bounds.implied import with_reachable_outputs
from pyomo_relu.common.arguments import (
    a_solver,
    checked,
    flag,
    is_sequence,
    names,
    optional,
    real,
    whole,
)
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.html import table_html
from pyomo_relu.common.progress import counting_bar
from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.model.blocks import (
    check_function_kept,
    network_blocks,
    refuse_disjuncts,
)
from pyomo_relu.model.contradiction import SECONDS, contradiction
from pyomo_relu.model.neurons import NeuronsAsOutputs
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.search.completion import check_class, problem_of, with_points
from pyomo_relu.search.methods.methods import METHODS
from pyomo_relu.search.methods.searcher import Searcher
from pyomo_relu.search.nlp.polish import NLPPolish
from pyomo_relu.search.nonlinear.nonlinear import NONLINEAR_METHODS, NonlinearSearcher

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pyomo.core.base.block import BlockData


logger = logging.getLogger("pyomo.relu.search")

#: Rounds of all methods without any gain after which a search stops by itself.
_PATIENCE = 2

#: Share of the time left after which a round's methods end if its points are polished.
_BEFORE_POLISHING = 0.5

#: Inputs of a network that a notebook shows.
_SHOWN_INPUTS = 6


@dataclass
class SearchResult:
    """What a search found.

    Attributes
    ----------
    objective : float or None
        Value of the modeller's objective at the point, in the modeller's sense; 0 if
        the model has no objective; None if nothing was found.
    values : ComponentMap
        Value of every Var of the modeller's linear model and of all networks' inputs
        and outputs; empty if nothing was found.
    inputs : ComponentMap
        Input point (numpy array, flat order) of every network block.
    method : str or None
        Which method found the point.
    seconds : float
        Duration of the search.
    trajectory : list of (float, float, str)
        Seconds, objective and method of every improvement.
    message : str
        One sentence on how the search ended.
    """

    objective: float | None = None
    values: ComponentMap = field(default_factory=ComponentMap)
    inputs: ComponentMap = field(default_factory=ComponentMap)
    method: str | None = None
    seconds: float = 0.0
    trajectory: list[tuple[float, float, str]] = field(default_factory=list)
    message: str = ""

    @property
    def found(self) -> bool:
        """True if there is a feasible point."""
        return self.objective is not None

    def __str__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        objective = None if self.objective is None else f"{self.objective:.8g}"
        rows = [
            ("objective", objective),
            ("found by", self.method),
            ("seconds", self.seconds),
            ("improvements", len(self.trajectory)),
        ]
        for block, x in self.inputs.items():
            shown = ", ".join(f"{entry:.4g}" for entry in x[:_SHOWN_INPUTS])
            more = ", ..." if len(x) > _SHOWN_INPUTS else ""
            rows.append((f"inputs of {block.name}", f"({shown}{more})"))
        return table_html(("search", "value"), rows, "Search", notes=[self.message])


@checked(ModelError, progress=flag, nlp_solver=optional(a_solver))
def find_point(
    model: BlockData,
    methods: str | Sequence[str] = ("samples", "ascent", "walk"),
    time_limit: float | None = 10.0,
    seed: int = 0,
    progress: bool = False,
    start: Mapping[Any, ArrayLike] | Sequence[ArrayLike] | None = None,
    max_rounds: int | None = None,
    stop_at: float | None = None,
    rounds: int | None = None,
    nlp_solver: Any = None,
) -> SearchResult:
    """A good feasible point of a model with network blocks; the model stays as it is.

    Around its active ReLUNetworkBlocks the model has rows between continuous and integer
    Vars: linear ones, and products, quotients, powers, sqrt, exp, log, log10, sin, cos,
    tanh, abs, min and max.  Whether the blocks are transformed already does not matter.
    A point is returned only if the networks' forward pass, every row, bound and integrality
    hold within 1e-6, relative to the sizes of columns, rows and outputs where these are
    not about 1 (``linear.embedded``).

    Parameters
    ----------
    model : Block
    methods : sequence of {"samples", "ascent", "walk", "sample_mip"}
        Run in this order, round after round, until the time is over or two rounds
        gained nothing.  In a model with nonlinear rows ``samples`` are random values
        of the Vars that no network and no expression computes, and ``ascent`` leads
        from the most promising ones along successive linear programmes and a sequential
        quadratic one; ``walk`` and ``sample_mip`` need linear rows and are left out,
        which the result's message says.
    time_limit : float or None
        Seconds; None runs until two rounds gained nothing.
    seed : int
        The same seed gives the same points, as far as the time limit does not decide.
    progress : bool
        Show a progress line (needs tqdm).
    start : mapping of ReLUNetworkBlock to point, or sequence of points, optional
        Input points to begin with, one per network block (in model order).  They need
        not be feasible: the best point of their joint linear region is taken, or,
        in a model with nonlinear rows, what successive linear programmes lead to.
    max_rounds : int, optional
        At most this many rounds; 0 with ``start`` only completes the start.
    stop_at : float, optional
        Objective value, in the modeller's sense, at which to stop; ``-inf`` (of a
        maximisation; ``inf`` of a minimisation) stops at the first feasible point.
    rounds : int, optional
        The old name of ``max_rounds``.
    nlp_solver : str or solver object, optional
        A Pyomo NLP solver, such as ``"ipopt"``, that starts at the best few points of
        the start and of every round (which then ends after half of the time that is
        left); where none is feasible yet, at promising ones.  It works on a copy in
        which activations are products (``relu.complementarity``) and integers stay
        fixed; what it gives is completed by forward passes, repaired by the search's
        own programmes and counts only if it is feasible.  Where it fails, that is
        logged and the search's own points stay.

    Returns
    -------
    SearchResult
        ``found`` is False if the time was not enough; the model may then still be
        feasible.

    Raises
    ------
    ModelError
        If a row or objective contains what is not in the list above, the model has
        several objectives or components that are no rows, an input is unbounded
        (with linear rows), or a method is unknown or needs linear rows and is the only
        one, or ``nlp_solver`` is not available.
    InfeasibleError
        If the model's rows and what the networks can reach have no common point; the
        message names rows and bounds that contradict each other.

    Notes
    -----
    Sources: Tong, Cai and Serra, arXiv 2401.03451 (walk); Tong, Zhu, Serra and Burer,
    arXiv 2512.24295 (ascent); Perakis and Tsiourvas, arXiv 2205.14189 (sample_mip).
    """
    clock = Deadline(real("time_limit", time_limit, ModelError, least=0.0, none=True))
    run = names("methods", "search method", methods, list(METHODS), ModelError)
    if rounds is not None:
        deprecation_warning(
            "find_point: the argument 'rounds' is now 'max_rounds'.",
            version="0.1.0",
            logger="pyomo.relu",
        )
        max_rounds = whole("rounds", rounds, ModelError)
    most = whole("max_rounds", max_rounds, ModelError, none=True)
    stop_at = real("stop_at", stop_at, ModelError, none=True)
    seed = whole("seed", seed, ModelError)
    polish = None if nlp_solver is None else NLPPolish(nlp_solver, "find_point")
    blocks = network_blocks(model, None, "find_point")
    refuse_disjuncts(blocks, "find_point")
    check_function_kept(blocks, "find_point")
    release_void_bounds(blocks)
    surrounding = read_surrounding(model, blocks, atoms_for="find_point")
    check_class(surrounding, "find_point")
    neurons = NeuronsAsOutputs(surrounding, blocks, "find_point")
    surrounding = replace(surrounding, embedded=neurons.extended())
    given = problem_of(surrounding)
    left_out = []
    if len(given.functions) > len(blocks):  # atoms
        run, left_out = _nonlinear(run, surrounding)
    try:
        result = _search(
            surrounding, given, clock, seed, progress, start, run, most, stop_at, polish
        )
    except InfeasibleError as error:
        seconds = clock.left(SECONDS)
        raise InfeasibleError(
            f"find_point: '{model.name}' is infeasible. "
            f"{contradiction(surrounding, seconds=seconds)} (Found because {error})"
        ) from None
    if left_out:
        result.message += f" {_needs_linear(left_out)}"
    if polish is not None:
        result.message += f" {polish.message()}"
    return result


def _nonlinear(run, surrounding):
    """Which of the methods take a model with atoms, and which do not."""
    left_out = [name for name in run if name not in NONLINEAR_METHODS]
    methods = [name for name in run if name in NONLINEAR_METHODS]
    if not methods:
        atom = surrounding.embedded.functions[len(surrounding.blocks)]
        raise ModelError(
            f"find_point: {_needs_linear(left_out)} The model has {atom.name}. Use the "
            f"methods {' and '.join(NONLINEAR_METHODS)}."
        )
    if left_out:
        logger.info(f"find_point: {_needs_linear(left_out)}")
    return methods, left_out


def _needs_linear(methods):
    names = " and ".join(f"'{name}'" for name in methods)
    one = len(methods) == 1
    return (
        f"The method{'' if one else 's'} {names} need{'s' if one else ''} linear rows "
        f"and {'was' if one else 'were'} left out."
    )


def _search(
    surrounding, given, clock, seed, progress, start, methods, rounds, stop_at, polish
):
    with_reachable_outputs(given)  # infeasible: say so in the modeller's numbers
    kind, known = Searcher, METHODS
    if len(given.functions) > len(surrounding.blocks):
        kind, known = NonlinearSearcher, NONLINEAR_METHODS
    problem, units = given.in_unit_range(), given.units
    objective = _Objective(surrounding, units)
    with _report(progress, objective) as on_improvement:
        searcher = kind(problem, clock, seed, on_improvement)
        if stop_at is not None:
            searcher.stop_at = objective.inverse(stop_at)
        searcher.check_rows()
        if start is not None:
            columns = with_points(given, _points(surrounding, start)) / units.columns
            searcher.begin(columns)
            if polish is not None:
                polish(searcher)
        run = [known[name] for name in methods]
        _run(searcher, run, math.inf if rounds is None else rounds, polish)
    return _result(surrounding, searcher, units, objective)


class _Objective:
    """Objective values in the modeller's sense and units, from those of a search."""

    def __init__(self, surrounding, units):
        self._factor = (-1.0 if surrounding.maximise else 1.0) * units.objective
        self._constant = surrounding.embedded.constant / units.objective

    def __call__(self, value):
        return self._factor * (value + self._constant)

    def inverse(self, value):
        return value / self._factor - self._constant


def _run(searcher, methods, rounds, polish):
    if not searcher.problem.functions:
        problem = searcher.problem
        answer = solve_linear(problem.linear, problem.costs, searcher.clock.left())
        searcher.offer(answer.primal, "linear")
        return
    done = idle = 0
    while done < rounds and idle < _PATIENCE and not searcher.clock.passed():
        before = len(searcher.trajectory)
        with searcher.clock.early(1.0 if polish is None else _BEFORE_POLISHING):
            for method in methods:
                if searcher.clock.passed():
                    break
                method(searcher)
        if polish is not None:
            polish(searcher)
        done += 1
        # without any incumbent yet there is nothing to be content with, but a search
        # without a limit of time must end where no point exists
        gained = len(searcher.trajectory) > before
        hopeful = searcher.best is None and not searcher.clock.endless
        idle = 0 if gained or hopeful else idle + 1


def _points(surrounding, start):
    """Input points in the order of the blocks, from a mapping or a sequence."""
    blocks = surrounding.blocks
    if hasattr(start, "keys"):
        start = ComponentMap((key, start[key]) for key in start.keys())
        missing = [b.name for b in blocks if b not in start]
        if missing:
            raise ModelError(
                f"the start has no point for network block '{missing[0]}'; give one "
                "for every active network block."
            )
        start = [start[block] for block in blocks]
    elif is_sequence(start) and len(blocks) == 1:
        start = [start] if not any(np.iterable(entry) for entry in start) else start
    if not is_sequence(start) or len(start) != len(blocks):
        raise ModelError(
            f"start={start!r:.80} gives no input points. Give a mapping from network "
            "blocks to points, or one point per network block in the model's order "
            f"({len(blocks)} here)."
        )
    try:
        return [point(block, x) for block, x in zip(blocks, start, strict=True)]
    except ModelError as error:
        raise ModelError(f"start: {error}") from None


def _result(surrounding, searcher, units, objective):
    seconds, best = searcher.clock.elapsed(), searcher.best
    trajectory = [(s, objective(v), name) for s, v, name in searcher.trajectory]
    if best is None:
        return SearchResult(
            seconds=seconds,
            message=f"No feasible point was found in {seconds:.1f} s. Give more "
            "time_limit, other methods or a start; the model may be infeasible.",
        )
    best = best * units.columns
    method = trajectory[-1][2]
    value = objective(searcher.value)
    return SearchResult(
        value,
        # the columns after the Vars', and the functions after the networks, are atoms
        ComponentMap(zip(surrounding.variables, best.tolist(), strict=False)),
        ComponentMap(
            (block, best[f.inputs])
            for block, f in zip(
                surrounding.blocks, surrounding.embedded.functions, strict=False
            )
        ),
        method,
        seconds,
        trajectory,
        f"Objective {value:.6g} found by {method} after {trajectory[-1][0]:.2f} s "
        f"(search: {seconds:.2f} s).",
    )


@contextlib.contextmanager
def _report(progress, objective):
    """A callback for improvements: a log line each, and a progress line if wanted."""
    with counting_bar(progress, "search", "improvements") as count:

        def on_improvement(seconds, value, method):
            value = objective(value)
            logger.debug(f"{seconds:.3f} s: objective {value:.9g} by {method}")
            count(objective=f"{value:.6g}", by=method)

        yield on_improvement
