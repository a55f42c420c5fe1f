"""The routes from a model with networks in it to a proven optimum."""

import math
import time

import pyomo.environ as pyo

from benchmarks.regret.gurobi_ml import GurobiML

#: The relative gap to which every route proves its answer.
GAP = 1e-4


class Route:
    """Transformations, then a solver; preparation counts against the time limit.

    Parameters
    ----------
    name : str
        "appsi_highs", or a solver of this package's.
    steps : sequence of (str, dict)
        Transformations and their options.  Those that take a time limit get ``limit``
        as the option that "seconds" names.
    options : dict
        Further ones of the solver.
    """

    def __init__(self, name, *steps, **options):
        self.solver = name
        self.steps = steps
        self.options = options

    @property
    def registered(self):
        """Whether Pyomo knows the solver."""
        return self.solver in pyo.SolverFactory

    def run(self, model, limit):
        """Solve the model, which is changed, with one thread.

        Returns
        -------
        status : str
            Pyomo's termination condition.
        bound : float or None
            What the solver proved of the objective.
        loaded : bool
            Whether a point was loaded into the model's Vars.
        """
        began = time.perf_counter()
        for name, options in self.steps:
            options = dict(options)
            seconds = options.pop("seconds", None)
            if seconds is not None:
                options[seconds] = limit
            pyo.TransformationFactory(name).apply_to(model, **options)
        left = limit - (time.perf_counter() - began)
        if left <= 0:
            return "preparation", None, False
        solve = _with_highs if self.solver == "appsi_highs" else _with_own_solver
        results, loaded = solve(self.solver, model, left, self.options)
        sense = next(model.component_data_objects(pyo.Objective, active=True)).sense
        problem = results.problem
        bound = problem.lower_bound if sense == pyo.minimize else problem.upper_bound
        bound = None if bound is None or not math.isfinite(bound) else float(bound)
        return str(results.solver.termination_condition), bound, loaded


def _with_highs(name, model, seconds, more):
    options = {**more, "threads": 1, "time_limit": seconds, "mip_rel_gap": GAP}
    solver = pyo.SolverFactory(name)
    results = solver.solve(model, options=options, load_solutions=False)
    loaded = len(results.solution) > 0
    if loaded:
        model.solutions.load_from(results)
    return results, loaded


def _with_own_solver(name, model, seconds, more):
    solver = pyo.SolverFactory(name)
    results = solver.solve(
        model,
        time_limit=seconds,
        mip_gap=GAP,
        threads=1,
        load_solutions=False,
        **more,
    )
    loaded = len(results.solution) > 0
    if loaded:
        model.solutions.load_from(results)
    return results, loaded


_BIGM = ("relu.bigm", {})

#: name -> Route
ROUTES = {
    "auto": Route("appsi_highs", ("relu.auto", {"seconds": "time_budget"})),
    "bounds+bigm": Route("appsi_highs", ("relu.bounds", {}), _BIGM),
    "obbt+bigm": Route(
        "appsi_highs",
        ("relu.obbt", {"scope": "model", "seconds": "time_limit"}),
        _BIGM,
    ),
    "relu.branch": Route("relu.branch"),
    "relu": Route("relu", solver="highs"),
    "relu+Gurobi": Route("relu", solver="gurobi"),
    "gurobi-ml": GurobiML(GAP),
}

#: Those that are run unless others are asked for: HiGHS alone.
DEFAULT = [name for name in ROUTES if name not in ("relu+Gurobi", "gurobi-ml")]
