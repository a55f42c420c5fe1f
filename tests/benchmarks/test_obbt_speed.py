"""Speed of LP-based bound tightening; run with ``pytest tests/benchmarks -s``.

CPU seconds: against a bare highspy loop over the same LPs, and against a loop that
calls a SolverFactory per bound on a Pyomo model.  Two processes against one: wall time.
"""

import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from typing import ClassVar

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.network import Network, load_onnx
from tests.paths import SHARED_MODELS, needs_shared_models


def dense(n_inputs, widths, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [n_inputs, *widths, 1]
    pairs = list(itertools.pairwise(sizes))
    return Network.sequential(
        [rng.normal(size=(b, a)) * np.sqrt(2 / a) for a, b in pairs],
        [rng.normal(size=b) * 0.1 for _, b in pairs],
        name=f"{n_inputs}, {len(widths)}x{widths[0]}",
    )


class Recorder(HighsSession):
    """Remembers every LP that is solved."""

    solved: ClassVar[list] = []

    def minimize(self, columns, coefficients, time_limit=None):
        Recorder.solved.append((self.model, columns, coefficients))
        return super().minimize(columns, coefficients, time_limit)


def bare_loop(solved, options):
    """The same LPs in the same order: costs, run, objective; nothing else."""
    import highspy

    model, values = None, []
    for new, columns, coefficients in solved:
        if new is not model:
            model = new
            h = highspy.Highs()
            for name, value in {"output_flag": False, "parallel": "off"}.items():
                h.setOptionValue(name, value)
            for name, value in options.items():
                h.setOptionValue(name, value)
            A, n = model.matrix, model.n_columns
            h.passModel(
                n,
                model.n_rows,
                A.nnz,
                2,
                1,
                0.0,
                np.zeros(n),
                model.lower,
                model.upper,
                model.row_lower,
                model.row_upper,
                A.indptr[:-1].astype(np.int32),
                A.indices.astype(np.int32),
                A.data,
                np.zeros(n, dtype=np.int32),
            )
        h.changeColsCost(columns.size, columns.astype(np.int32), coefficients)
        h.run()
        values.append(h.getObjectiveValue())
        h.changeColsCost(columns.size, columns.astype(np.int32), 0.0 * coefficients)
    return values


def cpu(function, *args, **options):
    start = time.process_time()
    result = function(*args, **options)
    return time.process_time() - start, result


@pytest.mark.parametrize(
    "shape", [(2, [25] * 3), (3, [25] * 5), (4, [50] * 3), (5, [50] * 5)], ids=str
)
def test_cpu_per_lp_against_a_bare_loop(shape):
    network = dense(*shape)
    start = crown_bounds(network, -1.0, 1.0)
    Recorder.solved.clear()
    lp_obbt(network, start, TighteningOptions(solver=Recorder))
    solved = list(Recorder.solved)
    # The better of two runs each: the machine may be busy.
    ours = min(cpu(lp_obbt, network, start)[0] for _ in range(2))
    same = {
        "presolve": "off",
        "simplex_strategy": 4,
        "simplex_scale_strategy": 0,
        "primal_feasibility_tolerance": 1e-9,
        "dual_feasibility_tolerance": 1e-9,
    }
    tuned = min(cpu(bare_loop, solved, same)[0] for _ in range(2))
    plain = min(cpu(bare_loop, solved, {})[0] for _ in range(2))
    n = len(solved)
    print(
        f"\n{network.name}: {n} LPs, ms per LP: ours {1e3 * ours / n:.2f}, bare loop "
        f"with our options {1e3 * tuned / n:.2f}, bare loop {1e3 * plain / n:.2f}"
    )
    assert ours <= 1.2 * plain


def naive_loop(network, bounds):
    """Big-M rows with relaxed binaries in Pyomo, a SolverFactory call per bound."""
    lower = [a.copy() for a in bounds.lower]
    upper = [a.copy() for a in bounds.upper]
    solves = 0
    for k, layer in enumerate(network.layers):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(network.n_inputs))
        for i in m.x:
            m.x[i].bounds = bounds.input_lower[i], bounds.input_upper[i]
        previous = [m.x[i] for i in m.x]
        m.rows = pyo.ConstraintList()
        for j in range(k):
            size = network.layers[j].size
            post, z = pyo.Var(range(size)), pyo.Var(range(size), bounds=(0, 1))
            m.add_component(f"post{j}", post)
            m.add_component(f"z{j}", z)
            w, b = network.layers[j].weights[0], network.layers[j].bias
            for i in range(size):
                v = sum(w[i, p] * previous[p] for p in range(len(previous))) + b[i]
                lo, hi = lower[j][i], upper[j][i]
                post[i].bounds = max(lo, 0.0), max(hi, 0.0)
                if lo >= 0:
                    m.rows.add(post[i] == v)
                elif hi > 0:
                    m.rows.add(post[i] >= v)
                    m.rows.add(post[i] <= v - lo * (1 - z[i]))
                    m.rows.add(post[i] <= hi * z[i])
            previous = [post[i] for i in range(size)]
        w = layer.weights[0]
        if k == 0:
            continue
        for i in range(layer.size):
            hidden = k < len(network.layers) - 1
            if hidden and (lower[k][i] >= 0 or upper[k][i] <= 0):
                continue
            v = sum(w[i, p] * previous[p] for p in range(len(previous)))
            for sense in (pyo.minimize, pyo.maximize):
                m.del_component("objective")
                m.objective = pyo.Objective(expr=v + layer.bias[i], sense=sense)
                pyo.SolverFactory("appsi_highs").solve(m)
                solves += 1
                value = pyo.value(m.objective)
                if sense == pyo.minimize:
                    lower[k][i] = max(lower[k][i], value)
                else:
                    upper[k][i] = min(upper[k][i], value)
    return solves, lower, upper


def compare_with_naive(network, lower, upper):
    start = crown_bounds(network, lower, upper)
    ours, (bounds, statistics) = cpu(lp_obbt, network, start)
    naive, (solves, low, high) = cpu(naive_loop, network, start)
    print(
        f"\n{network.name}: ours {ours:.2f} s for {statistics.solves} LPs, naive loop "
        f"{naive:.2f} s for {solves} LPs: {naive / ours:.1f} times"
    )
    for k in range(len(network.layers)):
        width = np.max(start.upper[k] - start.lower[k])
        assert np.allclose(bounds.lower[k], low[k], rtol=0, atol=1e-4 * width)
        assert np.allclose(bounds.upper[k], high[k], rtol=0, atol=1e-4 * width)
    assert ours <= naive / 5


@pytest.mark.parametrize(
    "shape", [(2, [25] * 3), (3, [25] * 5), (5, [50] * 3), (5, [50] * 5)], ids=str
)
def test_total_cpu_against_a_solver_factory_per_bound(shape):
    network = dense(*shape)
    compare_with_naive(network, -np.ones(shape[0]), np.ones(shape[0]))


#: ACAS Xu properties 3 and 4 (VNN-COMP), the input boxes of their vnnlib files.
ACAS_BOXES = {
    "prop_3": (
        [-0.303531156, -0.009549297, 0.493380324, 0.3, 0.3],
        [-0.298552812, 0.009549297, 0.5, 0.5, 0.5],
    ),
    "prop_4": (
        [-0.303531156, -0.009549297, 0.0, 0.318181818, 0.083333333],
        [-0.298552812, 0.009549297, 0.0, 0.5, 0.166666667],
    ),
}


@needs_shared_models
@pytest.mark.parametrize("name", ACAS_BOXES)
def test_acas_xu_property_boxes(name):
    folder = SHARED_MODELS / "vnnlib"
    network = load_onnx(folder / "ACASXU_run2a_1_8_batch_2000.onnx")
    compare_with_naive(network, *map(np.array, ACAS_BOXES[name]))


def test_two_processes_against_one():
    network = dense(10, [140] * 4)
    start = crown_bounds(network, -1.0, 1.0)
    seconds = {}
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as executor:
            list(executor.map(abs, range(workers)))
            begin = time.perf_counter()
            bounds, _ = lp_obbt(network, start, TighteningOptions(executor=executor))
            seconds[workers] = time.perf_counter() - begin
        print(f"\n{workers} processes: {seconds[workers]:.1f} s")
        if workers == 1:
            reference = bounds
    assert np.array_equal(reference.lower[-1], bounds.lower[-1])
    assert seconds[1] > 20.0
    assert seconds[1] / seconds[2] >= 1.7
