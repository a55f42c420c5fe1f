"""Computational effort of one solve, preprocessing apart.

A model is encoded, handed to a solver's own interface as matrices (in unit range, no
model building in the timed part), and what the solver did is read back: nodes, seconds,
Gurobi's work units, bounds at the root.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pyomo_relu.analysis.effort.solvers import (
    NODE_LIMITED,
    RAW_SOLVERS,
    run_raw,
    run_through_pyomo,
)
from pyomo_relu.common.arguments import (
    checked,
    flag,
    is_sequence,
    optional,
    seconds,
    shown,
    text,
    whole,
)
from pyomo_relu.common.html import Table, Tabular
from pyomo_relu.errors import ModelError, SolverError
from pyomo_relu.linear.rounding import relative_gap

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData


OPTIMAL, TIME_LIMIT, WORK_LIMIT = "optimal", "time limit", "work limit"
NODE_LIMIT = "node limit"
INFEASIBLE, UNBOUNDED = "infeasible", "unbounded"


@dataclass(frozen=True)
class Effort(Tabular):
    """What one solve took.

    Objective and bounds are in the model's own sense.  None means that the solver does
    not tell, or that there is nothing to tell (no incumbent, no work units).

    Attributes
    ----------
    solver : str
    status : str
        "optimal", "time limit", "work limit", "node limit", "infeasible", "unbounded",
        or the solver's own word.
    objective : float or None
        Of the best feasible point found.
    dual_bound : float or None
        Proven by branch and bound.
    relaxation_bound : float or None
        Optimum of the linear relaxation as encoded: no presolve, no cuts.  It measures
        the encoding, not the solver.
    root_bound : float or None
        Proven by the solver before it branched (after presolve and cuts).
    nodes, iterations : int or None
        Branch-and-bound nodes and simplex iterations.
    work : float or None
        Gurobi's work units (about seconds; unlike seconds the same in every run on one
        machine).
    solve_seconds, solve_cpu_seconds : float
        Wall time of the solver, and processor time of this process during it.  On a
        machine that does other things too, compare processor times.
    preprocessing : dict of str to float
        Wall seconds of each transformation applied before.
    preprocessing_cpu_seconds : float
        Processor time of all of them.
    n_variables, n_binaries, n_rows, n_nonzeros : int
        Size of what the solver got.
    smallest_coefficient, largest_coefficient : float or None
        Absolute values of the nonzeros in the rows that the solver got.
    """

    solver: str
    status: str
    objective: float | None
    dual_bound: float | None
    relaxation_bound: float | None
    root_bound: float | None
    nodes: int | None
    iterations: int | None
    work: float | None
    solve_seconds: float
    solve_cpu_seconds: float
    preprocessing: dict[str, float] = field(default_factory=dict)
    preprocessing_cpu_seconds: float = 0.0
    n_variables: int = 0
    n_binaries: int = 0
    n_rows: int = 0
    n_nonzeros: int = 0
    smallest_coefficient: float | None = None
    largest_coefficient: float | None = None

    @property
    def optimal(self) -> bool:
        """True if the solver proved its incumbent optimal within its gap."""
        return self.status == OPTIMAL

    @property
    def preprocessing_seconds(self) -> float:
        """Wall seconds of all transformations together."""
        return float(sum(self.preprocessing.values()))

    @property
    def total_seconds(self) -> float:
        """Preprocessing and solve."""
        return self.preprocessing_seconds + self.solve_seconds

    @property
    def gap(self) -> float | None:
        """``|objective - dual_bound| / |objective|`` at the end."""
        return _relative_gap(self.objective, self.dual_bound)

    @property
    def relaxation_gap(self) -> float | None:
        """The same for the linear relaxation: how tight the encoding is."""
        return _relative_gap(self.objective, self.relaxation_bound)

    @property
    def root_gap(self) -> float | None:
        """The same for the root node."""
        return _relative_gap(self.objective, self.root_bound)

    def to_dict(self) -> dict[str, Any]:
        """Plain figures, the derived ones included."""
        derived = (
            "preprocessing_seconds",
            "total_seconds",
            "gap",
            "relaxation_gap",
            "root_gap",
        )
        figures = {name: getattr(self, name) for name in derived}
        return {**vars(self), "preprocessing": dict(self.preprocessing), **figures}

    def _table(self) -> Table:
        rows = [[k.replace("_", " "), v] for k, v in self.to_dict().items()]
        rows = [[k, v] for k, v in rows if not isinstance(v, dict)]
        return Table("Effort", ["effort", "value"], rows)


def _relative_gap(objective, bound):
    if objective is None or bound is None or not math.isfinite(bound):
        return None
    return relative_gap(objective, bound)


@checked(
    ModelError,
    solver=text,
    time_limit=optional(seconds),
    work_limit=optional(seconds),
    node_limit=optional(whole),
    mip_gap=seconds,
    seed=whole,
    threads=partial(whole, least=1),
    relaxation=flag,
    in_unit_range=flag,
)
def measure_effort(
    model: BlockData,
    transformations: Sequence[str | tuple[str, Mapping[str, Any]]] = (),
    solver: str = "highs",
    *,
    time_limit: float | None = None,
    work_limit: float | None = None,
    node_limit: int | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    threads: int = 1,
    relaxation: bool = True,
    in_unit_range: bool = True,
) -> Effort:
    """Apply transformations to a model, solve it, and say what both took.

    The model is changed: it stays transformed, and its Vars hold the best point found.
    Use ``model.clone()`` to keep the original.

    Parameters
    ----------
    model : Block
        With one active objective.
    transformations : sequence of (str | (str, dict))
        Names, or names with options, applied in this order, for example
        ``["relu.obbt", ("relu.bigm", {})]``; each is timed.
    solver : str
        "highs" or "gurobi" run through the solver's own interface and tell everything;
        any other name is a Pyomo SolverFactory name, which tells status, bounds and
        seconds.
    time_limit : float, optional
        Seconds for the solve.
    work_limit : float, optional
        Gurobi work units for the solve: a limit that does not depend on what else the
        machine does.  Other solvers do not have it (an error).
    node_limit : int, optional
        Nodes after which HiGHS, Gurobi or relu.branch stops: the same limit on a busy
        machine.  Other solvers do not have it here (an error).
    mip_gap : float
        Relative gap at which the solver stops.
    seed : int
        The solver's own: changes its path, not the answer.
    threads : int
    relaxation : bool
        Whether the linear relaxation is solved too (outside the timed part).
    in_unit_range : bool
        Whether HiGHS and Gurobi get columns and rows in unit range.  False hands the
        model over as it is, to see what its coefficients do to a solver.

    Returns
    -------
    Effort

    Raises
    ------
    ModelError
        If the model has no linear objective or a nonlinear constraint (for "highs" and
        "gurobi").
    SolverError
        If the solver is missing, unlicensed, or has no such limit.
    """
    if work_limit is not None and solver != "gurobi":
        raise SolverError(
            f"solver '{solver}' has no work units; give time_limit instead of "
            "work_limit, or use solver='gurobi'."
        )
    if node_limit is not None and solver not in NODE_LIMITED:
        raise SolverError(
            f"solver '{solver}' takes no node limit here; give time_limit instead of "
            f"node_limit, or use one of {', '.join(NODE_LIMITED)}."
        )
    cpu = time.process_time()
    preprocessing = apply_transformations(model, transformations)
    preprocessing_cpu = time.process_time() - cpu
    options = {
        "time_limit": time_limit,
        "work_limit": work_limit,
        "node_limit": node_limit,
        "mip_gap": mip_gap,
        "seed": seed,
        "threads": threads,
    }
    if solver not in RAW_SOLVERS:
        figures = run_through_pyomo(model, solver, options)
    else:
        figures = _run_raw(model, solver, options, relaxation, in_unit_range)
    return Effort(
        solver=solver,
        preprocessing=preprocessing,
        preprocessing_cpu_seconds=preprocessing_cpu,
        **figures,
    )


def apply_transformations(model, transformations):
    """Apply transformations one after the other; wall seconds of each by name."""
    from pyomo.core.base import TransformationFactory
    from pyomo.core.base.block import BlockData

    if isinstance(transformations, str):
        transformations = (transformations,)
    if not is_sequence(transformations):
        raise ModelError(
            "transformations must be a sequence of names or of (name, options), not "
            f"{transformations!r:.80}."
        )
    if not isinstance(model, BlockData):
        raise ModelError(
            f"measure_effort: model must be a Pyomo model, not {shown(model)}."
        )
    seconds = {}
    for entry in transformations:
        name, options = _named(entry)
        transformation = TransformationFactory(name)
        if transformation is None:
            raise ModelError(
                f"unknown transformation '{name}'; 'pyomo help --transformations' "
                "lists those that are registered."
            )
        start = time.perf_counter()
        transformation.apply_to(model, **options)
        key, again = name, 2
        while key in seconds:
            key, again = f"{name} ({again})", again + 1
        seconds[key] = time.perf_counter() - start
    return seconds


def _named(entry):
    """(name, options) of an entry of ``transformations``."""
    if isinstance(entry, str):
        return entry, {}
    fits = is_sequence(entry) and len(entry) == 2 and isinstance(entry[0], str)
    if not fits or not isinstance(entry[1], dict):
        raise ModelError(
            f"transformations: {entry!r:.80} is neither a name nor (name, options)."
        )
    return entry


def _run_raw(model, solver, options, relaxation, in_unit_range):
    given, maximise, variables = _read(model)
    inner = given.in_unit_range() if in_unit_range else given
    linear, data = inner.linear, abs(inner.linear.matrix.data)
    columns, unit = 1.0, 1.0
    if in_unit_range:
        columns, unit = given.units.columns, given.units.objective
    figures, point = run_raw(solver, linear, True, inner.costs, options)
    figures["relaxation_bound"] = None
    if relaxation:
        unlimited = {**options, "work_limit": None, "node_limit": None}
        answer, _ = run_raw(solver, linear, False, inner.costs, unlimited)
        if answer["status"] == OPTIMAL:
            figures["relaxation_bound"] = answer["objective"]
    for name in ("objective", "dual_bound", "root_bound", "relaxation_bound"):
        if figures[name] is not None:
            value = unit * figures[name] + given.constant
            figures[name] = -value if maximise else value
    if point is not None:
        values = (point * columns).tolist()
        for var, x in zip(variables, values, strict=True):
            var.set_value(round(x) if var.is_integer() else x, skip_validation=True)
    return {
        **figures,
        "n_variables": linear.n_columns,
        "n_binaries": int(linear.integer.sum()),
        "n_rows": linear.n_rows,
        "n_nonzeros": int(linear.matrix.nnz),
        "smallest_coefficient": float(min(data[data > 0], default=0.0)) or None,
        "largest_coefficient": float(max(data, default=0.0)) or None,
    }


def _read(model):
    """A linear Pyomo model as a minimisation, whether it maximises, and its Vars.

    Returns
    -------
    embedded : EmbeddedModel
    maximise : bool
    variables : list of VarData
    """
    import numpy as np
    from pyomo.core.base import Objective, maximize
    from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

    from pyomo_relu.linear.embedded import EmbeddedModel
    from pyomo_relu.linear.model import LinearModel

    objectives = list(model.component_data_objects(Objective, active=True))
    if len(objectives) != 1:
        raise ModelError(
            f"'{model.name}' has {len(objectives)} active objectives; one is "
            "needed. Deactivate the others."
        )
    try:
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
    except Exception as error:  # the compiler raises several kinds
        reason = str(error).strip().rstrip(".")[:300]
        raise ModelError(
            f"'{model.name}' is not linear: {reason}. Apply a formulation such as "
            "relu.bigm first; for SOS constraints choose a Pyomo solver by name."
        ) from error
    kinds = np.array([row.bound_type for row in form.rows], dtype=int)
    rhs = np.asarray(form.rhs, dtype=float)
    ends = [var.bounds for var in form.columns]
    linear = LinearModel(
        form.A.tocsr(),
        np.where(kinds <= 0, rhs, -math.inf),
        np.where(kinds >= 0, rhs, math.inf),
        np.array([-math.inf if lo is None else lo for lo, _ in ends], dtype=float),
        np.array([math.inf if hi is None else hi for _, hi in ends], dtype=float),
        np.array([var.is_integer() for var in form.columns], dtype=bool),
    )
    embedded = EmbeddedModel(linear, (), form.c.toarray()[0], float(form.c_offset[0]))
    return embedded, objectives[0].sense == maximize, form.columns
