"""Bounds of networks that stand in one linear model, of their inputs and outputs."""

import time

import numpy as np

from pyomo_relu.bounds.methods import BY_SOLVER, DEFAULT_METHODS
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.bounds.obbt.run import OBBTRun
from pyomo_relu.bounds.obbt.whole_model import ModelTightening, run_model_obbt
from pyomo_relu.bounds.solver_free import part_of_split_budget
from pyomo_relu.bounds.tightening import check_methods, tighten
from pyomo_relu.common.arguments import (
    an_executor,
    checked,
    each,
    flag,
    function,
    kind,
    optional,
    seconds,
    whole,
)
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.embedded import EmbeddedModel


@checked(
    BoundsError,
    model=kind("linear.model", "LinearModel"),
    networks=each(kind("linear.embedded", "EmbeddedNetwork")),
    time_limit=optional(seconds),
    executor=optional(an_executor),
    stop_at_sign=flag,
    alpha_steps=whole,
    recompute_lost=flag,
    progress=optional(function),
    neurons_only=flag,
)
def tighten_model(
    model,
    networks,
    *,
    cutoff=None,
    methods=DEFAULT_METHODS,
    time_limit=None,
    solver=None,
    executor=None,
    stop_at_sign=False,
    alpha_steps=0,
    recompute_lost=True,
    progress=None,
    neurons_only=False,
):
    """Bounds of networks inside a linear model, of their inputs and outputs.

    Input boxes are taken from the model's bounds and rows, where need be by LPs and
    through other networks' outputs; networks are bounded on their boxes, then everything
    is tightened by LPs over the joint relaxation.

    Parameters
    ----------
    model : LinearModel
        The modeller's linear constraints; integer columns are relaxed.
    networks : sequence of EmbeddedNetwork
    cutoff : (columns, coefficients, value), optional
        Only points with ``coefficients . x[columns] <= value`` matter (the objective
        of a known solution): bounds then hold for those points.
    methods : sequence of str
        As in ``tighten``; "milp" does not apply here.
    time_limit, solver, executor, stop_at_sign, alpha_steps, recompute_lost, progress
        See ``tighten``.
    neurons_only : bool
        Whether LPs for outputs, and for inputs once neurons are bounded, are left out.

    Returns
    -------
    ModelBounds

    Raises
    ------
    InfeasibleError
        If the model is proven to have no feasible point.
    BoundsError, SolverError
    """
    check_methods(methods)
    if cutoff is not None:
        columns, coefficients, value = _checked_cutoff(model, cutoff)
        model = model.with_row(columns, coefficients, -np.inf, value)
    options = TighteningOptions(
        solver, executor, stop_at_sign, recompute_lost, progress
    )
    run = OBBTRun(options, time_limit)

    without_solver = [m for m in methods if m not in BY_SOLVER]
    known = {}

    def box_bounds(network, lower, upper):
        key = network, lower.tobytes(), upper.tobytes()
        if key not in known:
            known[key] = compute(network, lower, upper)
        return known[key]

    def compute(network, lower, upper):
        bounds, statistics = tighten(
            network,
            lower,
            upper,
            methods=without_solver,
            # boxes shrink several times in one run, so each gets a part of the budget
            max_cells=part_of_split_budget(network, lower, upper),
            alpha_steps=alpha_steps,
        )
        if statistics.interrupted:
            raise KeyboardInterrupt
        return bounds

    tightening = ModelTightening(EmbeddedModel(model, networks), run, box_bounds)
    begin = time.perf_counter()
    try:
        tightening.find_boxes()
        if "lp" in methods:
            run_model_obbt(tightening, neurons_only)
    except KeyboardInterrupt:
        tightening.statistics.interrupted = True
    tightening.statistics.seconds = time.perf_counter() - begin
    return tightening.result()


def _checked_cutoff(model, cutoff):
    """The cutoff's columns, coefficients and value."""
    try:
        columns, coefficients, value = cutoff
        columns, coefficients = np.asarray(columns), np.asarray(coefficients, float)
        fits = columns.shape == coefficients.shape == (columns.size,)
        fits &= bool(np.isin(columns, np.arange(model.n_columns)).all())
        fits &= bool(np.isfinite([*coefficients, float(value)]).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise BoundsError(
            "cutoff must be (columns, coefficients, value): column numbers of the "
            f"model, as many finite numbers, and one more; not {cutoff!r:.80}."
        )
    return columns.astype(int), coefficients, float(value)
