"""One case of the study as a pure function of plain data; nothing is written here.

``run_case`` runs in a worker: it gets a task (and, for a solve, the networks as bytes)
and returns a record of plain numbers and strings.
"""

import math
import time

from pyomo_relu.study.problems.benchmarks import benchmark
from pyomo_relu.study.run.bound_methods import BOUND_METHODS, record_bounds


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
    from pyomo_relu.study.run.global_search import global_search, onnx_function

    network = load_onnx(net.onnx)
    unscaled = [m for m in limits["bounds"] if " " not in m]
    lowest, _ = global_search(onnx_function(net.onnx), net.lower, net.upper, seed=seed)
    bounds, seconds = {}, {}
    for method in limits["bounds"]:
        cpu = time.process_time()
        bounds[method] = record_bounds(net.onnx, net.lower, net.upper, method)
        seconds[method] = time.process_time() - cpu
    # the tightest record that is not of a rescaled network saves the counter work
    plain = [bounds[m] for m in unscaled]
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
    import pyomo_relu  # noqa: F401  (registers)
    from pyomo_relu.analysis import measure_effort

    target = benchmark(task["problem"])
    model = target.model(networks, task["units"])
    limits = task["limits"]
    steps = []
    if BOUND_METHODS[task["bounds"]] is not None:
        name, options = BOUND_METHODS[task["bounds"]]
        if limits["bounds_time_limit"] is not None:
            options = {**options, "time_limit": limits["bounds_time_limit"]}
        steps.append((name, options))
    if task["formulation"] != "none":
        steps.append(_with_ceilings(model, *task["transformation"]))
    of = {
        "work_limit": task["solver"] == "gurobi",
        "node_limit": task["solver"] in ("highs", "relu.branch"),
    }
    effort = measure_effort(
        model,
        steps,
        task["solver"],
        time_limit=limits["time_limit"],
        **{limit: limits[limit] if known else None for limit, known in of.items()},
        mip_gap=limits["mip_gap"],
        seed=task["solver_seed"],
        in_unit_range=False,
    )
    results = {**effort.to_dict(), "output_movement": None}
    results["preprocessing_steps"] = results.pop("preprocessing")
    if effort.objective is not None:
        blocks = _network_blocks(model)
        results["forward_error"] = max(b.forward_error() for b in blocks)
        results["output_movement"] = _output_movement(task, blocks)
        results["true_value"] = target.true_value(model)
        results["true_minimum"] = target.minimum
    return results


def _with_ceilings(model, name, options):
    """A transformation whose "ceiling_quantile" has become ceilings per neuron.

    They are that quantile of each neuron's positive activations at Latin-hypercube
    points of the block's input box.
    """
    options = dict(options)
    quantile = options.pop("ceiling_quantile", None)
    if quantile is None:
        return name, options
    ceilings = activation_quantiles(model, quantile)
    return name, {**options, "ceiling": ceilings, "allow_function_change": True}


def activation_quantiles(model, quantile, samples=10_000):
    """Per layer a quantile of each neuron's positive activations over the input box.

    Parameters
    ----------
    model : Block
        With one network block.
    quantile : float
    samples : int

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,)
        ``inf`` for neurons that are active at none of the points.
    """
    import numpy as np
    from scipy.stats import qmc

    (block,) = _network_blocks(model)
    ends = np.array([var.bounds for var in block.input_vars()], dtype=float)
    sampler = qmc.LatinHypercube(len(ends), rng=np.random.default_rng(0))
    points = qmc.scale(sampler.random(samples), *ends.T)
    ceilings = []
    for pre in block.network.pre_activations(points):
        active = np.where(pre > 0, pre, np.nan)
        some = np.any(pre > 0, axis=0)
        ceiling = np.full(pre.shape[1], np.inf)
        ceiling[some] = np.nanquantile(active[:, some], quantile, axis=0)
        ceilings.append(ceiling)
    return ceilings


def _network_blocks(model):
    import pyomo.environ as pyo

    from pyomo_relu.block.block import ReLUNetworkBlockData

    blocks = model.component_data_objects(pyo.Block, active=True)
    return [b for b in blocks if isinstance(b, ReLUNetworkBlockData)]


def _output_movement(task, blocks):
    """How far ceilings may have moved the outputs; None if there were none."""
    from pyomo.core.base import TransformationFactory

    name, options = task["transformation"]
    if "ceiling_quantile" not in options:
        return None
    clipped = TransformationFactory(name)
    moves = (clipped.get_output_movement(block) for block in blocks)
    return max(float(max((-low).max(), high.max())) for low, high in moves)


def _finite(entry):
    """The entry with infinities and NaN as None: JSON has none of them."""
    if isinstance(entry, dict):
        return {str(k): _finite(v) for k, v in entry.items()}
    if isinstance(entry, (list, tuple)):
        return [_finite(v) for v in entry]
    if isinstance(entry, float) and not math.isfinite(entry):
        return None
    return entry
