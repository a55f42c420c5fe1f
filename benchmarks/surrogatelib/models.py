"""Two surrogates of random quadratics on the same inputs: one is minimised, one is set.

The recipe is that of the "function" instances of SurrogateLIB (Turner, Chmiela, Koch and
Winkler, PySCIPOpt-ML, arXiv 2312.08074): two random quadratics in n variables, 2,500
points uniform in [-10, 10]^n, a scikit-learn MLPRegressor for each.  The first network's
output plus 10,000 is minimised over [-20, 20]^n where the second one's equals the median
of the values that it was trained on.  Trained networks are kept in ``cache``; they differ
in the last digits between versions of scikit-learn.
"""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.network import Network

#: Where trained networks are kept.
CACHE = Path(__file__).parent / "cache"

#: Numbers of inputs, layers with their width, and seeds.
INPUTS = (5, 6, 7)
LAYERS = ((3, 16), (3, 32), (4, 16), (5, 16))
SEEDS = (42, 43, 44)

_POINTS, _TRAINED, _BOX, _CONSTANT = 2500, 10.0, 20.0, 10000.0


def _name(n, depth, width, seed):
    return f"function_{n}_{depth}x{width}_{seed}"


def quadratics(n, seed):
    """Points and values of two random quadratics.

    Returns
    -------
    X : numpy.ndarray, shape (2500, n)
    y : list of numpy.ndarray, shape (2500,)
    """
    random = np.random.default_rng(seed)
    X = random.uniform(-_TRAINED, _TRAINED, (_POINTS, n))
    values = []
    for _ in range(2):
        square = np.round(random.uniform(-5, 5, (n, n)), 3)
        linear, constant = random.uniform(-1, 1, n), random.uniform(-1, 1)
        values.append(np.einsum("ki,ij,kj->k", X, square, X) + X @ linear + constant)
    return X, values


def trained(n, depth, width, seed):
    """Both networks, and the median of the second one's values; from ``cache`` if there.

    Returns
    -------
    networks : list of Network
    median : float
    """
    path = CACHE / f"{_name(n, depth, width, seed)}.npz"
    if not path.is_file():
        _train(path, n, depth, width, seed)
    networks = []
    with np.load(path) as file:
        for i in range(2):
            parts = [
                [file[f"{kind}_{i}_{k}"] for k in range(depth + 1)] for kind in "Wb"
            ]
            networks.append(Network.sequential(*parts))
        return networks, float(file["median"])


def _train(path, n, depth, width, seed):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    X, values = quadratics(n, seed)
    arrays = {"median": np.median(values[1])}
    for i, y in enumerate(values):
        regressor = MLPRegressor(hidden_layer_sizes=(width,) * depth, random_state=seed)
        with warnings.catch_warnings():
            # the recipe's 200 epochs end before the loss settles
            warnings.simplefilter("ignore", ConvergenceWarning)
            regressor.fit(X, y)
        parts = zip(regressor.coefs_, regressor.intercepts_, strict=True)
        for k, (weights, bias) in enumerate(parts):
            arrays[f"W_{i}_{k}"], arrays[f"b_{i}_{k}"] = weights.T, bias
    CACHE.mkdir(exist_ok=True)
    np.savez(path, **arrays)


def build(n, depth, width, seed):
    """A Pyomo model with untransformed network blocks."""
    networks, median = trained(n, depth, width, seed)
    m = pyo.ConcreteModel(_name(n, depth, width, seed))
    m.x = pyo.Var(range(n), bounds=(-_BOX, _BOX))
    m.first = ReLUNetworkBlock(network=networks[0], inputs=m.x)
    m.second = ReLUNetworkBlock(network=networks[1], inputs=m.x)
    m.level = pyo.Constraint(expr=m.second.outputs[0] == median)
    m.cost = pyo.Objective(expr=m.first.outputs[0] + _CONSTANT)
    return m


#: name -> function that builds the model
MODELS = {
    _name(n, *layers, seed): partial(build, n, *layers, seed)
    for seed in SEEDS
    for n in INPUTS
    for layers in LAYERS
}

#: Those that are run unless others are asked for.
DEFAULT = [name for name in MODELS if name.endswith(f"_{SEEDS[0]}")]


def kind(name):
    """Inputs and layers."""
    return name.rpartition("_")[0]
