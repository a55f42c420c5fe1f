"""Models in any units whose answers are known in unit range; the grid as a script.

``python -m tests.units [what ...]`` prints wrong and tried for each of branch, find,
layerwise, model, relaxations.
"""

import sys

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.network import Network

SCALES = ((1e5, 1e-4, 1.0), (1e6, 1e-3, 1.0), (1e8, 1.0, 1.0), (1.0, 1e-8, 1e-8))
OUTPUTS = (1e-7, 1.0, 1e7)
KINDS = ("plain", "row", "two", "two and row")
UNIT = (1.0, 1.0, 1.0)


def random_network(seed, width=16):
    """3-width-1 with normal weights."""
    rng = np.random.default_rng(seed)
    shapes = [(width, 3), (1, width)]
    weights = [rng.normal(size=shape) for shape in shapes]
    return Network.sequential(weights, [rng.normal(size=shape[0]) for shape in shapes])


def model(seed, scale=UNIT, out=1.0, kind="plain"):
    """Maximise in the given units; the optimum is ``out`` times that in unit range.

    Kinds: "row" links inputs and the output, "two" subtracts a second network.
    """
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=lambda m, i: (-scale[i], scale[i]))
    scaling = {
        "input_scaling": ([0.0] * 3, list(scale)),
        "output_scaling": ([0.0], [out]),
    }
    m.first = ReLUNetworkBlock(network=random_network(seed), inputs=m.x, **scaling)
    gain = m.first.outputs[0]
    if kind.startswith("two"):
        m.second = ReLUNetworkBlock(
            network=random_network(100 + seed), inputs=m.x, **scaling
        )
        gain = gain - 0.5 * m.second.outputs[0]
    if kind.endswith("row"):
        m.on_inputs = pyo.Constraint(
            expr=m.x[0] / scale[0] + m.x[1] / scale[1] - m.x[2] / scale[2] <= 0.4
        )
        m.total = pyo.Var()
        m.link = pyo.Constraint(expr=m.total == gain + 0.2 * out / scale[0] * m.x[0])
        gain = m.total
    m.gain = pyo.Objective(expr=gain, sense=pyo.maximize)
    return m


def truth(seed, kind):
    """Values on a grid in unit range: the largest allowed, and the range of all."""
    axis = np.linspace(-1.0, 1.0, 51)
    X = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    values = random_network(seed).forward(X)[:, 0]
    if kind.startswith("two"):
        values = values - 0.5 * random_network(100 + seed).forward(X)[:, 0]
    width = np.ptp(values)
    if kind.endswith("row"):
        values = (values + 0.2 * X[:, 0])[X @ [1.0, 1.0, -1.0] <= 0.4]
    return float(values.max()), float(width)


def feasible(m, seed, scale, out, kind, tolerance=1e-5):
    """Whether the Vars' values are a point of the model, in unit range."""
    x = np.array([m.x[i].value / scale[i] for i in range(3)])
    y = random_network(seed).forward(x)[0]
    error = abs(m.first.outputs[0].value / out - y)
    total = y
    if kind.startswith("two"):
        second = random_network(100 + seed).forward(x)[0]
        error = max(error, abs(m.second.outputs[0].value / out - second))
        total = total - 0.5 * second
    error = max(error, np.abs(x).max() - 1.0)
    if kind.endswith("row"):
        error = max(error, x @ [1.0, 1.0, -1.0] - 0.4)
        error = max(error, abs(m.total.value / out - total - 0.2 * x[0]))
    return error <= tolerance


def branch(seed, scale, out, kind):
    """Whether relu.branch is right: the optimum to 1e-3 of the range, feasible."""
    m = model(seed, scale, out, kind)
    solver = pyo.SolverFactory("relu.branch")
    results = solver.solve(m)
    found = pyo.value(m.gain) / out
    bound = results.problem.upper_bound / out
    best, width = truth(seed, kind)
    optimum = _unit_optimum(seed, kind)
    close = 1e-3 * width
    return (
        str(results.solver.termination_condition) == "optimal"
        and feasible(m, seed, scale, out, kind)
        and best - close <= found <= bound + close
        and abs(found - optimum) <= close
        and abs(bound - optimum) <= close
    )


_optima = {}


def _unit_optimum(seed, kind):
    """By relu.branch in unit range, checked against the grid."""
    if (seed, kind) not in _optima:
        m = model(seed, kind=kind)
        pyo.SolverFactory("relu.branch").solve(m, mip_gap=1e-6)
        value, (best, width) = pyo.value(m.gain), truth(seed, kind)
        assert best - 1e-6 <= value <= best + 0.2 * width
        _optima[seed, kind] = value
    return _optima[seed, kind]


def find(seed, scale, out, kind):
    """Whether find_point finds a feasible point within 5% of the range."""
    from pyomo_relu.search import find_point

    m = model(seed, scale, out, kind)
    result = find_point(m, time_limit=None, max_rounds=6)
    if not result.found:
        return False
    for var, value in result.values.items():
        var.set_value(value, skip_validation=True)
    best, width = truth(seed, kind)
    return (
        feasible(m, seed, scale, out, kind)
        and abs(pyo.value(m.gain) - result.objective) <= 1e-9 * out
        and result.objective / out >= best - 0.05 * width
    )


def _bounds(m, scope):
    pyo.TransformationFactory("relu.obbt").apply_to(m, scope=scope)
    blocks = [m.first] + ([m.second] if hasattr(m, "second") else [])
    return [block.neuron_bounds() for block in blocks]


def _same_bounds(scope):
    def check(seed, scale, out, kind):
        """Whether bounds are sound and those of the same model in unit range."""
        unit = _bounds(model(seed, kind=kind), scope)
        found = _bounds(model(seed, scale, out, kind), scope)
        rng = np.random.default_rng(seed)
        X = rng.uniform(-1, 1, (2000, 3))
        if kind.endswith("row"):
            X = X[X @ [1.0, 1.0, -1.0] <= 0.4]
        for a, b in zip(unit, found, strict=True):
            values = a.network.propagate(X)[0]
            for k in range(len(a.lower)):
                factor = out if k == len(a.lower) - 1 else 1.0
                lower, upper = b.lower[k] / factor, b.upper[k] / factor
                width = 1e-6 * (a.upper[k] - a.lower[k])
                if np.any(lower > values[k].min(axis=0) + 1e-9):
                    return False
                if np.any(upper < values[k].max(axis=0) - 1e-9):
                    return False
                if np.any(lower < a.lower[k] - width) or np.any(
                    upper > a.upper[k] + width
                ):
                    return False
        return True

    return check


def relaxations(seed, scale, out, kind):
    """Whether the LPs of relu.cells and relu.cuts have the values they have in unit.

    The first does; later ones rest on duals that need not be unique, but bound the
    same optimum, and end where they end in unit range.
    """
    unit, found = (
        _values(model(seed, kind=kind)),
        _values(model(seed, scale, out, kind)),
    )
    best, width = truth(seed, kind)
    for a, b in zip(unit, found, strict=True):
        if not b or abs(b[0] / out - a[0]) > 1e-6 * width:
            return False
        if max(b) / out > -best + 1e-6 * width or b[-1] / out < a[-1] - 0.02 * width:
            return False
    return True


def _values(m):
    from pyomo_relu.bounds import crown_bounds
    from pyomo_relu.bounds.cells.partition import CellPartition
    from pyomo_relu.bounds.cells.refinement import CellRefinement
    from pyomo_relu.bounds.relaxation.cuts import CutRounds
    from pyomo_relu.model.surrounding import read_surrounding

    blocks = [m.first] + ([m.second] if hasattr(m, "second") else [])
    s = read_surrounding(m, blocks)
    ends = [(f.inputs, f.outputs) for f in s.embedded.functions]
    bounds = [
        crown_bounds(b.network, s.linear.lower[i], s.linear.upper[i])
        for b, (i, _) in zip(blocks, ends, strict=True)
    ]
    lower, upper = s.linear.lower.copy(), s.linear.upper.copy()
    for b, (_, o) in zip(bounds, ends, strict=True):
        lower[o], upper[o] = b.lower[-1], b.upper[-1]
    linear = s.linear.replace(lower=lower, upper=upper)
    cuts = CutRounds(
        linear, s.costs, [(b, *e) for b, e in zip(bounds, ends, strict=True)]
    )
    cuts.run()
    networks = [(CellPartition(b), *e, 16) for b, e in zip(bounds, ends, strict=True)]
    cells = CellRefinement(linear, s.costs, networks)
    cells.run()
    return cuts.values, cells.values


CHECKS = {
    "branch": branch,
    "find": find,
    "layerwise": _same_bounds("network"),
    "model": _same_bounds("model"),
    "relaxations": relaxations,
}


def grid(what, seeds=range(12), kinds=KINDS):
    """Wrong, tried and failed cases of one check over the whole grid."""
    wrong = []
    tried = 0
    for seed in seeds:
        for kind in kinds:
            for scale in SCALES:
                for out in OUTPUTS:
                    tried += 1
                    case = (seed, scale, out, kind)
                    try:
                        right = CHECKS[what](*case)
                    except Exception as error:  # noqa: BLE001  (is wrong, too)
                        right, case = False, (*case, repr(error)[:200])
                    if not right:
                        wrong.append(case)
    return wrong, tried


if __name__ == "__main__":
    for name in sys.argv[1:] or CHECKS:
        bad, count = grid(name)
        print(f"{name}: {len(bad)} wrong of {count}", flush=True)
        for case in bad[:20]:
            print("   ", *case, flush=True)
