"""A route from a model with networks in it to a proven optimum by a Pyomo solver."""

import math
import time

import pyomo.environ as pyo

from benchmarks.comparison.model_set import GAP

#: What a solver of Pyomo's is told: one thread, the time, the gap; ours take keywords.
_OPTIONS = {
    "appsi_highs": lambda seconds, gap: {
        "threads": 1,
        "time_limit": seconds,
        "mip_rel_gap": gap,
    },
    "scip_direct": lambda seconds, gap: {
        # Pyomo reads the log from a pipe, which a long one fills: SCIP then waits forever
        "display/verblevel": 0,
        "limits/time": seconds,
        "limits/gap": gap,
        "parallel/maxnthreads": 1,
    },
    "gurobi_direct_minlp": lambda seconds, gap: {
        "Threads": 1,
        "TimeLimit": seconds,
        "MIPGap": gap,
        "NonConvex": 2,
    },
}


class Route:
    """Transformations, then a solver; preparation counts against the time limit.

    Parameters
    ----------
    name : str
        A key of ``_OPTIONS``, or a solver of this package's.
    steps : sequence of (str, dict)
        Transformations and their options.  Those that take a time limit get ``limit``
        as the option that "seconds" names.
    gap : float
        Relative, at which the solver may stop.
    options : dict
        Further ones of the solver.
    """

    def __init__(self, name, *steps, gap=GAP, **options):
        self.solver = name
        self.steps = steps
        self.gap = gap
        self.options = options

    @property
    def registered(self):
        """Whether Pyomo knows the solver and finds it."""
        if self.solver not in pyo.SolverFactory:
            return False
        return bool(pyo.SolverFactory(self.solver).available(exception_flag=False))

    def run(self, model, limit):
        """Solve the model, which is changed, with one thread.

        Returns
        -------
        status : str
            Pyomo's termination condition; "preparation" if that took all the time,
            "licence" if the solver's does not cover the model's size.
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
        try:
            results = self._solve(model, left)
        except Exception as error:
            if "size-limited license" not in str(error):
                raise
            return "licence", None, False
        loaded = len(results.solution) > 0
        if loaded:
            model.solutions.load_from(results)
        sense = next(model.component_data_objects(pyo.Objective, active=True)).sense
        problem = results.problem
        bound = problem.lower_bound if sense == pyo.minimize else problem.upper_bound
        bound = None if bound is None or not math.isfinite(bound) else float(bound)
        return str(results.solver.termination_condition), bound, loaded

    def _solve(self, model, seconds):
        solver = pyo.SolverFactory(self.solver)
        if self.solver in _OPTIONS:
            options = {**self.options, **_OPTIONS[self.solver](seconds, self.gap)}
            more = {"options": options}
            if self.solver != "appsi_highs":
                more["raise_exception_on_nonoptimal_result"] = False
        else:
            own = {"time_limit": seconds, "mip_gap": self.gap, "threads": 1}
            more = {**own, **self.options}
        return solver.solve(model, load_solutions=False, **more)
