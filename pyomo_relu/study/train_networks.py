"""Trains the example networks of the package into a folder; no studying in here.

    python -m pyomo_relu.study.train_networks --folder FOLDER        # what is missing
    python -m pyomo_relu.study.train_networks --folder FOLDER --force peaks_2x25

Sizes and sample counts follow the literature on these benchmarks (100,000 samples for
Peaks and Himmelblau, 150,000 for Ackley-2, 300,000 for Ackley-5, 30% held out, Adam,
normalised data); epochs, batch size and learning rate are our choice.  ``manifest.json``
beside the networks records how each was made and how well it fits.
"""

import argparse
import hashlib
import itertools
import json
import logging
import time
from pathlib import Path

import numpy as np

from pyomo_relu.study.problems.problems import problem
from pyomo_relu.study.training.export import write_atomically, write_onnx
from pyomo_relu.study.training.training import TrainingOptions, train

logger = logging.getLogger("pyomo.relu.study")

SAMPLES = {"peaks": 100_000, "himmelblau": 100_000, "ackley2": 150_000}

#: name -> (problem, options) of every trained surrogate.
SURROGATES = {
    f"{name}_{depth}x25": (
        name,
        TrainingOptions((25,) * depth, SAMPLES[name], epochs=100, batch=256),
    )
    for name in SAMPLES
    for depth in (2, 3, 5)
}
SURROGATES |= {
    f"ackley5_{depth}x{width}": (
        "ackley5",
        TrainingOptions((width,) * depth, 300_000, epochs=100, batch=256),
    )
    for depth, width in ((5, 25), (3, 50))
}
SURROGATES["pendulum_2x8"] = ("pendulum", TrainingOptions((8, 8), 20_000, batch=256))
SURROGATES |= {
    f"peaks_2x10_seed{seed}": (
        "peaks",
        TrainingOptions((10, 10), 20_000, batch=256, seed=seed),
    )
    for seed in range(3)
}

#: name -> (number of inputs, hidden sizes) of every network that is not trained.
RANDOM = {"random_10_3x50": (10, (50, 50, 50))}


def random_network(n_inputs, hidden, seed=0):
    """Weights and biases of a random network.

    Weights are He-initialised, N(0, 2 / fan-in).  Biases are N(0, 0.1^2): with zero
    biases the function would be positively homogeneous and all regions would be cones.
    """
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    sizes = (n_inputs, *hidden, 1)
    for n_in, n_out in itertools.pairwise(sizes):
        weights.append(rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in)))
        biases.append(rng.normal(0, 0.1, n_out))
    return weights, biases


def make(name, folder, surrogates=SURROGATES):
    """Make one network in ``folder`` and return its entry of the manifest."""
    path = folder / f"{name}.onnx"
    if name in RANDOM:
        n_inputs, hidden = RANDOM[name]
        weights, biases = random_network(n_inputs, hidden)
        write_onnx(path, weights, biases, name=name)
        entry = {
            "problem": None,
            "lower": [-1.0] * n_inputs,
            "upper": [1.0] * n_inputs,
            "hidden": list(hidden),
            "seed": 0,
        }
    else:
        problem_name, options = surrogates[name]
        target = problem(problem_name)
        trained = train(target, options)
        trained.write_onnx(path)
        entry = {
            "problem": problem_name,
            "lower": list(target.lower),
            "upper": list(target.upper),
            "function_minimum": target.minimum,
            "held_out_nrmse": round(trained.nrmse, 6),
            "held_out_max_error": round(trained.max_error, 6),
            **options.to_dict(),
        }
    entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return entry


def record(name, entry, folder):
    """Write ``entry`` into the folder's manifest, keeping the others."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    manifest[name] = entry
    text = json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"
    write_atomically(path, text.encode())


def main(arguments=None, surrogates=SURROGATES):
    """Command line: make the networks named, or all that are missing."""
    names = [*surrogates, *RANDOM]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="where files and manifest.json go; in a clone pyomo_relu/example_networks",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"unknown networks {unknown}; choose from {names}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or names:
        if (options.folder / f"{name}.onnx").exists() and not options.force:
            logger.info("%s: there already", name)
            continue
        start = time.perf_counter()
        entry = make(name, options.folder, surrogates)
        record(name, entry, options.folder)
        error = entry.get("held_out_nrmse", "-")
        seconds = time.perf_counter() - start
        logger.info("%s: held-out error %s (normalised), %.1f s", name, error, seconds)


if __name__ == "__main__":
    main()
