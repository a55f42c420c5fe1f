"""A nonlinear flowsheet around two networks, proven in front of the reader.

    python examples/reactor_recycle.py [--plot FILE]

A -> B -> C runs in a stirred tank: B is sold, C is waste.  Two networks learned what the
tank leaves of B and C from its temperature, residence time and inlet concentration.
Unreacted A is recycled, so flows multiply concentrations; the tank's price is a power of
its volume, and its catalyst ages by Arrhenius' law::

    flow * inlet = 1.8 * fresh + 0.6 * flow * (inlet - B - C)     balance of A
    volume       = residence * flow
    ageing       = 5 * exp(-6000 * (1 / temperature - 1 / 400))
    profit       = 10 flow * B - 2.7 fresh - 0.5 recycle - 2 volume**0.6 - volume * ageing

Pyomo's expressions are written as they are; ``SolverFactory("relu.branch")`` bounds
networks, products, the power and the exponential together and proves the optimum.
"""

import argparse
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock

NETWORKS = Path(__file__).resolve().parents[1] / "benchmarks" / "regret" / "networks"


def build():
    """The flowsheet as a Pyomo model; flows in m3/s, concentrations in kmol/m3."""
    m = pyo.ConcreteModel("reactor with recycle")
    m.temperature = pyo.Var(bounds=(300, 400))  # K
    m.residence = pyo.Var(bounds=(0.5, 5))
    m.inlet = pyo.Var(bounds=(0.5, 2))  # of A
    m.product = pyo.Var(bounds=(0, 2))  # of B
    m.waste = pyo.Var(bounds=(0, 2))  # of C
    m.fresh = pyo.Var(bounds=(1, 4))
    m.recycle = pyo.Var(bounds=(0, 4))
    m.flow = pyo.Var(bounds=(1, 8))
    m.volume = pyo.Var(bounds=(0.5, 30))
    m.ageing = pyo.Var(bounds=(0, 5))

    state = [m.temperature, m.residence, m.inlet]
    m.makes_product = ReLUNetworkBlock(
        network=NETWORKS / "product.onnx", inputs=state, outputs=[m.product]
    )
    m.makes_waste = ReLUNetworkBlock(
        network=NETWORKS / "by_product.onnx", inputs=state, outputs=[m.waste]
    )
    left = m.inlet - m.product - m.waste
    m.mixer = pyo.Constraint(expr=m.flow == m.fresh + m.recycle)
    m.balance = pyo.Constraint(
        expr=m.flow * m.inlet == 1.8 * m.fresh + 0.6 * m.flow * left
    )
    m.size = pyo.Constraint(expr=m.volume == m.residence * m.flow)
    m.arrhenius = pyo.Constraint(
        expr=m.ageing == 5 * pyo.exp(-6000 * (1 / m.temperature - 1 / 400))
    )
    m.demand = pyo.Constraint(expr=m.flow * m.product >= 1.2)
    m.profit = pyo.Objective(
        expr=10 * m.flow * m.product
        - 2.7 * m.fresh
        - 0.5 * m.recycle
        - 2 * m.volume**0.6
        - m.volume * m.ageing,
        sense=pyo.maximize,
    )
    return m


def solve(m, **options):
    """Prove the optimum."""
    results = pyo.SolverFactory("relu.branch").solve(m, **options)
    pyo.assert_optimal_termination(results)
    return results


def print_model(m):
    """The flowsheet's own rows and its objective, as Pyomo has them."""
    for row in m.component_data_objects(pyo.Constraint, descend_into=False):
        print(f"  {row.name:<10} {row.expr}")
    print(f"  maximize   {m.profit.expr}")


def print_residuals(m):
    """By how much the point that was found misses each row and each network."""
    for row in m.component_data_objects(pyo.Constraint, descend_into=False):
        missed = max(0.0, -row.lslack(), -row.uslack())
        print(f"  {row.name:<15} {missed:.1e}")
    for block in (m.makes_product, m.makes_waste):
        print(f"  {block.name:<15} {block.forward_error():.1e} (forward error)")


def draw(m, path):
    """The best profit at given temperatures, each proven to 1e-3, and the optimum."""
    import matplotlib

    from pyomo_relu.plot.style import BLUE, VERMILLION, styled

    matplotlib.use("Agg")
    best = m.temperature.value, pyo.value(m.profit)
    temperatures = np.linspace(*m.temperature.bounds, 9)
    profits = []
    for temperature in temperatures:
        at = build()
        at.temperature.fix(temperature)
        solve(at, mip_gap=1e-3)
        profits.append(pyo.value(at.profit))
    with styled() as axes:
        axes.plot(temperatures, profits, color=BLUE, label="best here, proven")
        axes.plot(*best, "*", color=VERMILLION, markersize=18, label="optimum, proven")
        axes.set(xlabel="temperature in K", ylabel="profit")
        axes.legend()
    axes.figure.savefig(path, dpi=150)
    print(f"picture: {path}")


def main():
    """Print the model, prove its optimum, check the point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="draw profit over temperature")
    arguments = parser.parse_args()
    m = build()
    print("two networks, and")
    print_model(m)
    print()
    results = solve(m, mip_gap=1e-4, tee=True)
    profit, bound = pyo.value(m.profit), results.problem.upper_bound
    print(f"\nprofit {profit:.4f} at")
    for var in m.component_data_objects(pyo.Var, descend_into=False):
        print(f"  {var.name:<15} {var.value:.4f}")
    print(f"proven: no profit above {bound:.4f}, gap {(bound - profit) / profit:.1e}")
    print("missed at that point:")
    print_residuals(m)
    if arguments.plot:
        draw(m, arguments.plot)


if __name__ == "__main__":
    main()
