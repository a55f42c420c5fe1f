"""The search methods by name: samples, ascent, walk, sample_mip.

Each takes a Searcher and offers it points; one call is one round of bounded work.
"""

from dataclasses import replace

import numpy as np

from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.search.methods.ascent import descend, latin_hypercube
from pyomo_relu.search.methods.mixed_integer import improve_by_mip, restart_points
from pyomo_relu.search.regions.trust_region import approach, sample_scales
from pyomo_relu.search.regions.walk import solve_region, walk

#: Points per round where inputs decide everything, and where each costs a programme.
_MANY, _FEW = 2000, 6

#: Starts that descend together, steps of each, and how many of them are then walked.
_STARTS, _STEPS, _WALKS = 64, 40, 3

#: Seconds of one region's programme, and of the walk from the first incumbent.
_SECONDS = 3.0

#: Restarts of the walk in one round.
_RESTARTS = 5


def samples(searcher):
    """Forward passes on Latin-hypercube points.

    If the inputs decide everything, all points are projected on the rows and evaluated
    in one batch.  Otherwise each is projected on the modeller's rows by a linear
    (mixed-integer) programme and completed with inputs and outputs fixed.
    """
    X = latin_hypercube(
        _MANY if searcher.direct else _FEW, searcher.lower, searcher.upper, searcher.rng
    )
    if searcher.direct:
        X = searcher.direct.project(X)
        searcher.offer_inputs(X, searcher.direct.values(X), "samples")
        return
    for target in X:
        if searcher.clock.passed():
            return
        point = searcher.linear_point(target)
        if point is not None:
            searcher.offer(complete(searcher, point), "samples")


def complete(searcher, columns):
    """Other variables for given inputs: a programme with inputs and outputs fixed.

    Returns
    -------
    numpy.ndarray, shape (n_columns,), or None
        None if no values of the other variables satisfy the rows.
    """
    problem = searcher.problem
    columns = problem.complete(columns)
    fixed = np.concatenate([problem.input_columns(), problem.output_columns()])
    lower, upper = problem.linear.lower.copy(), problem.linear.upper.copy()
    if np.any(columns[fixed] < lower[fixed] - 1e-9) or np.any(
        columns[fixed] > upper[fixed] + 1e-9
    ):
        return None
    lower[fixed] = upper[fixed] = columns[fixed]
    answer = solve_linear(
        problem.linear.replace(lower=lower, upper=upper),
        problem.costs,
        searcher.clock.left(5.0),
    )
    return answer.primal


def ascent(searcher):
    """Projected gradient descent, or successive linear programmes with rows on outputs.

    Many starts descend in one batch and the best of them are walked to a local
    optimum.  With rows on outputs, starts first move to a feasible point and then, from
    the same start, to a good one (see ``trust_region``).
    """
    if searcher.direct:
        _descend_in_batch(searcher)
    else:
        _approach_from_samples(searcher)


def _descend_in_batch(searcher):
    direct = searcher.direct
    X = direct.project(
        latin_hypercube(_MANY, searcher.lower, searcher.upper, searcher.rng)
    )
    X = X[np.argsort(direct.values(X), kind="stable")[:_STARTS]]
    if searcher.best is not None:
        X = np.vstack([searcher.best[searcher.inputs], X])
    X, values = descend(
        direct.evaluate,
        X,
        searcher.lower,
        searcher.upper,
        _STEPS,
        direct.project,
        searcher.clock,
    )
    searcher.offer_inputs(X, values, "ascent")
    for j in np.argsort(values, kind="stable")[:_WALKS]:
        if searcher.clock.passed():
            return
        columns = direct.columns(X[j : j + 1])[0]
        searcher.offer(
            walk(searcher.problem, columns, searcher.clock, searcher.rng), "ascent"
        )


def _approach_from_samples(searcher):
    problem, clock = searcher.problem, searcher.clock
    X = latin_hypercube(_FEW, searcher.lower, searcher.upper, searcher.rng)
    full = np.zeros((_FEW, problem.n_columns))
    full[:, searcher.inputs] = X
    width = np.ones(problem.n_columns)
    width[searcher.inputs] = searcher.width()
    scales = sample_scales(problem, problem.complete(full), width)
    feasibility = replace(problem, costs=None, constant=0.0)
    for target in X:
        start = None if clock.passed() else searcher.linear_point(target)
        if start is None:
            return
        if searcher.best is None:
            point, _ = approach(feasibility, scales, start, clock)
            point = solve_region(problem, point, clock.left(_SECONDS))
            if not searcher.offer(point, "ascent"):
                continue
            better = walk(problem, point, clock.share(_SECONDS), searcher.rng)
            searcher.offer(better, "walk")
        point, _ = approach(problem, scales, start, clock)
        searcher.offer(solve_region(problem, point, clock.left(_SECONDS)), "ascent")


def relax_walk(searcher):
    """Relax-and-Walk: from the incumbent, then from perturbed relaxations."""
    problem, clock = searcher.problem, searcher.clock
    if searcher.best is not None:
        searcher.offer(walk(problem, searcher.best, clock, searcher.rng), "walk")
    seen, walked = set(), 0
    for point in restart_points(searcher.big_m, searcher.rng, clock):
        if clock.passed() or walked >= _RESTARTS:
            return
        pattern = b"".join(
            state.tobytes()
            for states in searcher.big_m.patterns(point)
            for state in states
        )
        if pattern in seen:
            continue
        seen.add(pattern)
        walked += 1
        searcher.offer(walk(problem, point, clock, searcher.rng), "walk")


def sample_mip(searcher):
    """Sample-and-MIP: small MILPs around the incumbent until they gain nothing."""
    if searcher.best is None:
        samples(searcher)
    while searcher.best is not None and not searcher.clock.passed():
        point = improve_by_mip(searcher.big_m, searcher.best, searcher.clock)
        if point is None:
            return
        better = solve_region(searcher.problem, point, searcher.clock.left(5.0))
        if not searcher.offer(better, "sample_mip"):
            return


METHODS = {
    "samples": samples,
    "ascent": ascent,
    "walk": relax_walk,
    "sample_mip": sample_mip,
}
