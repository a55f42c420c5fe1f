"""The made-up plants whose surrogates the set optimises: functions on boxes, numpy only."""

import numpy as np

from pyomo_relu.study.problems.problems import Problem


def _unit(value, lower, upper):
    return (2 * value - lower - upper) / (upper - lower)


def _reactor(X):
    """Rates, residence time and feed of the two reactions A -> B -> C."""
    temperature, residence, feed = X.T
    t = _unit(temperature, 300, 400)
    first = 0.8 * np.exp(1.2 * t) * residence
    second = 0.1 * np.exp(2.2 * t) * residence
    return first, second, feed


def _product(X):
    first, second, feed = _reactor(X)
    return feed * first / ((1 + first) * (1 + second))


def _by_product(X):
    first, second, feed = _reactor(X)
    return feed * first * second / ((1 + first) * (1 + second))


def _boiler(base, slope, curve, ripple, low):
    """Fuel of a boiler over its load, with the ripples of opening valves."""

    def fuel(X):
        load = X[:, 0]
        valves = ripple * np.abs(np.sin(0.09 * (load - low)))
        return base + slope * load + curve * load**2 + valves

    return fuel


def _pumps(X):
    """Power of a station over its flow: a pump more at 3 and at 6."""
    flow = X[:, 0]
    steps = 1 / (1 + np.exp(-6 * (flow - 3))) + 1 / (1 + np.exp(-6 * (flow - 6)))
    return 0.4 * flow + 0.05 * flow**2 + 1.5 * steps


def _chiller(X):
    """Power over load and ambient temperature; best at part load."""
    load, ambient = X.T
    efficiency = 5.5 - 0.09 * (ambient - 10) - 6 * (load - 0.65) ** 2
    return load / np.maximum(efficiency, 0.5) * (1 + 0.2 * np.sin(5 * load))


def _stage(X):
    """The next state of a bistable stage under a control."""
    state, control = X.T
    return 1.6 * np.tanh(1.4 * state) + 0.5 * control * np.exp(-0.3 * state**2) - 0.3


def _plant(X):
    """Yield over size, temperature and quality of the feed."""
    size, temperature, quality = X.T
    t = _unit(temperature, 300, 400)
    window = np.exp(-2 * (t - quality + 0.4) ** 2)
    return (1 - np.exp(-0.6 * size)) * (window + 0.4 * np.sin(3 * t) + 0.5)


def _compressor(X):
    """Power in watts over pressure in pascals, a mole fraction and a flow in kg/s."""
    pressure, fraction, flow = X.T
    head = (pressure / 1e5) ** 0.28 - 1
    efficiency = 0.8 - 0.04 * (flow - 2.5) ** 2 - 2e3 * (fraction - 4e-3) ** 2
    return 3e5 * flow * head / np.maximum(efficiency, 0.2)


def _lot(X):
    """Tonnes a week over lines, shifts and the speed of the belts."""
    lines, shifts, speed = X.T
    scrap = 0.25 * np.maximum(0, speed - 1) * shifts
    return 3 * lines**0.8 * shifts**0.7 * speed * np.exp(-scrap - 0.05 * lines)


def ridges(name, dimension, seed):
    """Sines along as many random directions as there are inputs, and a bowl."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(dimension, dimension)) * 1.5 / np.sqrt(dimension)
    phases = rng.uniform(0, 2 * np.pi, dimension)

    def function(X):
        return np.sin(X @ directions + phases).sum(axis=1) + 0.3 * (X**2).sum(axis=1)

    return _problem(name, function, [(-1.0, 1.0)] * dimension)


def _problem(name, function, box):
    lower, upper = zip(*box, strict=True)
    return Problem(name, function, lower, upper, None, ())


_REACTOR = [(300.0, 400.0), (0.5, 5.0), (0.5, 2.0)]

#: name -> Problem
RESPONSES = {
    problem.name: problem
    for problem in (
        _problem("product", _product, _REACTOR),
        _problem("by_product", _by_product, _REACTOR),
        _problem("boiler_a", _boiler(12, 0.9, 0.004, 9, 20), [(20.0, 100.0)]),
        _problem("boiler_b", _boiler(8, 1.1, 0.006, 6, 15), [(15.0, 80.0)]),
        _problem("boiler_c", _boiler(4, 1.5, 0.002, 4, 10), [(10.0, 60.0)]),
        _problem("pumps", _pumps, [(0.0, 9.0)]),
        _problem("chiller", _chiller, [(0.2, 1.0), (10.0, 35.0)]),
        _problem("stage", _stage, [(-2.0, 2.0), (-2.0, 2.0)]),
        _problem("plant", _plant, [(0.5, 5.0), (300.0, 400.0), (0.0, 1.0)]),
        _problem("compressor", _compressor, [(2e5, 2e6), (1e-4, 1e-2), (0.5, 5.0)]),
        _problem("lot", _lot, [(1.0, 6.0), (1.0, 3.0), (0.5, 1.5)]),
        ridges("ridges_5", 5, seed=5),
        ridges("shared_5_first", 5, seed=51),
        ridges("shared_5_second", 5, seed=52),
        ridges("shared_7_first", 7, seed=71),
        ridges("shared_7_second", 7, seed=72),
        ridges("ridges_10", 10, seed=10),
    )
}
