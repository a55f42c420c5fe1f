"""Small models of several networks, made from seeds; no test logic here."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.random_networks import random_network


def coupled(seed):
    """Two or three networks of one or two inputs, rows of every kind, an integer.

    Some read what others compute, some are the same, some read a column twice, some
    models have no point.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 4))
    networks, functions, n = [], [], 0
    integer, lower, upper = [], [], []

    def column(low, high, whole=False):
        nonlocal n
        lower.append(low), upper.append(high), integer.append(whole)
        n += 1
        return n - 1

    shared = column(-1.0, 1.0)
    outputs = []
    for k in range(count):
        if networks and rng.random() < 0.4:
            network = networks[-1]
        else:
            kinds = {
                "clipped": bool(rng.random() < 0.3),
                "pre": bool(rng.random() < 0.3),
            }
            network = random_network(
                rng,
                int(rng.integers(1, 3)),
                (5, 4),
                int(rng.integers(1, 3)),
                scale=1.5,
                **kinds,
            )
        networks.append(network)
        reads = []
        for _ in range(network.n_inputs):
            kind = rng.random()
            if kind < 0.2:
                reads.append(shared)
            elif kind < 0.35 and outputs:
                reads.append(int(rng.choice(outputs)))
            elif kind < 0.5:
                reads.append(column(-2.0, 2.0, whole=True))
            else:
                low = rng.uniform(-2, 0)
                reads.append(column(low, low + rng.uniform(0.5, 3.0)))
        ends = (-3.0, 3.0) if rng.random() < 0.3 else (-np.inf, np.inf)
        writes = [column(*ends) for _ in range(network.n_outputs)]
        outputs += writes
        functions.append(EmbeddedNetwork(network, reads, writes, f"f{k}"))
    outside = column(-1.0, 2.0, whole=bool(rng.random() < 0.5))
    m = int(rng.integers(1, 4))
    matrix = rng.normal(size=(m, n)).round(1) * (rng.random((m, n)) < 0.6)
    matrix[0, outside] = 1.0
    centre = rng.uniform(-1, 1, m)
    row_lower, row_upper = centre - rng.uniform(0, 2, m), centre + rng.uniform(0, 2, m)
    row_lower[rng.random(m) < 0.3] = -np.inf
    if rng.random() < 0.4:
        row_lower[0] = row_upper[0] = centre[0]
    linear = LinearModel(
        sparse.csr_array(matrix),
        row_lower,
        row_upper,
        np.array(lower),
        np.array(upper),
        np.array(integer),
        tuple(f"c{j}" for j in range(n)),
    )
    costs = rng.normal(size=n).round(1) * (rng.random(n) < 0.7)
    return EmbeddedModel(linear, functions, costs, float(rng.normal()))


def units(seed):
    """Units that are on or off, each with a network of its load, and a demand.

    The load of an idle unit is anywhere; some networks have a second, fixed input, some
    units an integer load or a second integer column.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    functions, rows, sides = [], [], []
    lower, upper, integer, costs = [], [], [], []

    def column(low, high, whole=False, cost=0.0):
        lower.append(low), upper.append(high), integer.append(whole), costs.append(cost)
        return len(lower) - 1

    def row(entries, low, high):
        rows.append(entries)
        sides.append((low, high))

    network = random_network(rng, 1, (6, 5), 1, scale=1.5)
    heats, ons = [], []
    for k in range(count):
        if rng.random() < 0.5:
            network = random_network(
                rng,
                int(rng.integers(1, 3)),
                (6, 5),
                1,
                scale=1.5,
                clipped=bool(rng.random() < 0.3),
            )
        load = column(0.5, 3.0) if rng.random() < 0.8 else column(1.0, 3.0, True)
        fixed = rng.uniform(-1, 1)
        reads = [load, column(fixed, fixed)][: network.n_inputs]
        made = column(-np.inf, np.inf)
        on = column(0, 1, True, rng.uniform(0, 0.5))
        heat, fuel = column(0, 3), column(-5, 9, cost=rng.uniform(0.2, 2))
        functions.append(EmbeddedNetwork(network, reads, [made], f"unit {k}"))
        row({heat: 1, on: -3}, -np.inf, 0)
        row({heat: 1, on: -0.5}, 0, np.inf)
        row({heat: 1, load: -1, on: 3}, -np.inf, 3)
        row({heat: 1, load: -1, on: -3}, -3, np.inf)
        if rng.random() < 0.7:
            row({fuel: 1, made: -1, on: -14}, -14, np.inf)
        else:
            row({fuel: 1, made: -1}, 0, np.inf)
        heats.append(heat)
        ons.append(on)
        if len(heats) > 1 and rng.random() < 0.4:
            row({heats[-1]: 1, heats[-2]: -1}, -1, 1)
    row(dict.fromkeys(heats, 1), rng.uniform(0.2, 1.9) * count, np.inf)
    if rng.random() < 0.5:
        row(dict.fromkeys(ons, 1), -np.inf, count - 1)
    n = len(lower)
    matrix = np.zeros((len(rows), n))
    for i, entries in enumerate(rows):
        matrix[i, list(entries)] = list(entries.values())
    low, high = np.array(sides, dtype=float).T
    linear = LinearModel(
        sparse.csr_array(matrix),
        low,
        high,
        np.array(lower, dtype=float),
        np.array(upper, dtype=float),
        np.array(integer),
    )
    return EmbeddedModel(linear, functions, np.array(costs), 1.0)


def many(seed, count, periods=1, identical=False, widths=(5,)):
    """Networks of two inputs; in each period first inputs meet a demand, with a store.

    Columns: two inputs and an output of each network, then levels, the first one fixed.
    With an integer column of bought lots per period.
    """
    rng = np.random.default_rng(seed)
    network = random_network(rng, 2, widths, 1, scale=1.5)
    functions, n = [], 3 * count + periods + 1 + periods
    costs = np.zeros(n)
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    integer = np.zeros(n, dtype=bool)
    rows = np.zeros((periods, n))
    for k in range(count):
        if k and not identical:
            network = random_network(rng, 2, widths, 1, scale=1.5)
        x = 3 * k + np.arange(2)
        functions.append(EmbeddedNetwork(network, x, [3 * k + 2], f"f{k}"))
        lower[x], upper[x] = -1.0, 1.0
        costs[3 * k + 2] = rng.uniform(0.5, 1.5)
        rows[k % periods, 3 * k] = 1.0
    level, lots = 3 * count, 3 * count + periods + 1
    lower[level:lots], upper[level:lots] = 0.0, 1.5
    upper[level] = lower[level] = 0.5
    lower[lots:], upper[lots:], integer[lots:] = 0.0, 2.0, True
    costs[lots:] = rng.uniform(0.1, 0.5, periods)
    for t in range(periods):
        rows[t, [level + t, level + t + 1, lots + t]] = 1.0, -1.0, 0.4
    demand = rng.uniform(0.1, 0.4, periods) * count / periods
    linear = LinearModel(sparse.csr_array(rows), demand, demand, lower, upper, integer)
    return EmbeddedModel(linear, functions, costs)
