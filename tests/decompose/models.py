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
