"""One network at every time step: an indexed ReLUNetworkBlock.

A storage is charged and discharged over a day; the price paid for power in each hour is
a trained function of (power, hour).  All members of the indexed block share one network
in memory.

Run ``python examples/time_indexed.py``.
"""

import argparse
import math

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network

ONNX_FILE = example_network("peaks_2x20")


def build(hours=6):
    """Charge a storage at least cost over ``hours`` steps."""
    m = pyo.ConcreteModel("storage")
    m.T = pyo.RangeSet(0, hours - 1)
    m.power = pyo.Var(m.T, bounds=(-1, 1))  # MW
    m.signal = pyo.Var(m.T, bounds=(-2, 2))
    m.level = pyo.Var(m.T, bounds=(0, 3))  # MWh
    m.cost = pyo.Var(m.T)
    m.price = ReLUNetworkBlock(
        m.T,
        network=ONNX_FILE,
        inputs=lambda t: [m.power[t], m.signal[t]],
        outputs=lambda t: [m.cost[t]],
        input_scaling=(0.0, [0.5, 1.0]),
    )
    for t in m.T:
        m.signal[t].fix(2 * math.sin(2 * math.pi * t / hours))
    m.balance = pyo.Constraint(m.T, rule=_balance)
    m.end = pyo.Constraint(expr=m.level[hours - 1] >= 1)
    m.total = pyo.Objective(expr=sum(m.cost[t] for t in m.T))
    return m


def _balance(m, t):
    return m.level[t] == (m.level[t - 1] if t > 0 else 0.5) + m.power[t]


def main():
    """Tighten, encode, solve, and print the schedule."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    m = build()
    # the signal is data here: fixed inputs count as points, which halves the work
    pyo.TransformationFactory("relu.obbt").apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    results = pyo.SolverFactory("appsi_highs").solve(m)
    pyo.assert_optimal_termination(results)
    print(" hour   power   level    cost")
    for t in m.T:
        print(
            f"{t:5d} {m.power[t].value:7.3f} {m.level[t].value:7.3f} "
            f"{m.cost[t].value:7.3f}"
        )
    error = max(m.price[t].forward_error() for t in m.T)
    print(f"total cost {pyo.value(m.total):.4f}; largest error {error:.1e}")


if __name__ == "__main__":
    main()
