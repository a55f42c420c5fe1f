"""One case of the study as a pure function of plain data; nothing is written here.

``run_case`` runs in a worker: it gets a task (and, for a solve, the networks as bytes)
and returns a record of plain numbers and strings.
"""

import math
import time

from pyomo_relu.study.benchmarks import benchmark
from pyomo_relu.study.bound_methods import BOUND_METHODS, record_bounds


def run_case(task, networks=None):
    """Run one task.

    Parameters
    ----------
    task : dict
        As ``NetworkTask.to_dict()`` or ``SolveTask.to_dict()`` give.
    networks : dict of str to bytes, optional
        ONNX models for a solve.

    Returns
    -------
    record : dict
        The task's settings and results; ``error`` is None or says what went wrong.
    networks : dict of str to bytes
        ONNX models that a training made.
    """
    start, cpu = time.perf_counter(), time.process_time()
    made, results, error = {}, {}, None
    try:
        if task["kind"] == "network":
            results, made = run_network(task)
        else:
            results = run_solve(task, networks)
    except Exception as problem:  # noqa: BLE001  (one case must not end the run)
        error = f"{type(problem).__name__}: {problem}"
    record = {
        **task,
        **results,
        "error": error,
        "case_seconds": time.perf_counter() - start,
        "case_cpu_seconds": time.process_time() - cpu,
    }
    return _finite(record), made


def run_network(task):
    """Train, and measure accuracy, regions, stable neurons and big-M sizes."""
    target = benchmark(task["problem"])
    cpu = time.process_time()
    trained = target.train(tuple(task["hidden"]), dict(task["options"]), task["seed"])
    training_cpu = time.process_time() - cpu
    limits = task["indicators"]
    figures = [_network_figures(net, limits, task["seed"]) for net in trained]
    results = {
        "training_cpu_seconds": training_cpu,
        "networks": [f for f, _ in figures],
        "layers": [row for _, rows in figures for row in rows],
    }
    return results, {net.name: net.onnx for net in trained}


def _network_figures(net, limits, seed):
    from pyomo_relu import load_onnx
    from pyomo_relu.analysis import big_m_statistics, count_regions, stability
    from pyomo_relu.study.global_search import global_search, onnx_function

    network = load_onnx(net.onnx)
    lowest, _ = global_search(onnx_function(net.onnx), net.lower, net.upper, seed=seed)
    bounds, seconds = {}, {}
    for method in limits["bounds"]:
        cpu = time.process_time()
        bounds[method] = record_bounds(network, net.lower, net.upper, method)
        seconds[method] = time.process_time() - cpu
    # the tightest record that is not of a rescaled network saves the counter work
    plain = [b for m, b in bounds.items() if not m.startswith("scaled")]
    regions = count_regions(
        network,
        net.lower,
        net.upper,
        bounds=min(plain, key=lambda b: b.n_unstable) if plain else None,
        max_regions=limits["max_regions"],
        time_limit=limits["regions_time_limit"],
        seed=seed,
    )
    figures = {
        "network_name": net.name,
        "n_neurons": network.n_neurons,
        "n_weights": net.n_weights,
        "nrmse": net.nrmse,
        "max_error": net.max_error,
        "search_minimum": lowest,
        **{f"regions_{k}": v for k, v in regions.to_dict().items() if k != "network"},
    }
    rows = []
    for method, record in bounds.items():
        states = stability({method: record}).layers[method]
        sizes = big_m_statistics({method: record}).layers[method]
        for state, size in zip(states, sizes, strict=True):
            rows.append(
                {
                    "network_name": net.name,
                    "bounds": method,
                    "bounds_cpu_seconds": seconds[method],
                    **state.to_dict(),
                    "mean_big_m": size.mean,
                    "max_big_m": size.max,
                    "mean_width": size.mean_width,
                }
            )
    return figures, rows


def run_solve(task, networks):
    """Encode and solve; figures of effort, and the truth at the solution."""
    import pyomo.environ as pyo

    import pyomo_relu  # noqa: F401  (registers)
    from pyomo_relu.analysis import measure_effort
    from pyomo_relu.block.block import ReLUNetworkBlockData

    target = benchmark(task["problem"])
    model = target.model(networks)
    limits = task["limits"]
    steps = []
    if BOUND_METHODS[task["bounds"]] is not None:
        name, options = BOUND_METHODS[task["bounds"]]
        if limits["bounds_time_limit"] is not None:
            options = {**options, "time_limit": limits["bounds_time_limit"]}
        steps.append((name, options))
    if task["formulation"] != "none":
        steps.append(tuple(task["transformation"]))
    work_limit = limits["work_limit"] if task["solver"] == "gurobi" else None
    effort = measure_effort(
        model,
        steps,
        task["solver"],
        time_limit=limits["time_limit"],
        work_limit=work_limit,
        mip_gap=limits["mip_gap"],
        seed=task["solver_seed"],
    )
    results = effort.to_dict()
    results["preprocessing_steps"] = results.pop("preprocessing")
    if effort.objective is not None:
        blocks = [
            b
            for b in model.component_data_objects(pyo.Block, active=True)
            if isinstance(b, ReLUNetworkBlockData)
        ]
        results["forward_error"] = max(b.forward_error() for b in blocks)
        results["true_value"] = target.true_value(model)
        results["true_minimum"] = target.minimum
    return results


def _finite(entry):
    """The entry with infinities and NaN as None: JSON has none of them."""
    if isinstance(entry, dict):
        return {str(k): _finite(v) for k, v in entry.items()}
    if isinstance(entry, (list, tuple)):
        return [_finite(v) for v in entry]
    if isinstance(entry, float) and not math.isfinite(entry):
        return None
    return entry
