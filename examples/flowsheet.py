"""Two networks in a row with a purchase decision: a flowsheet in miniature.

A reactor surrogate maps (temperature, feed) to the yield of an intermediate, a
separator surrogate maps (intermediate, reflux) to the purity of the product.  A
pre-heater may be bought, which allows higher temperatures.  The surrogates are the
example networks of Himmelblau and Peaks behind scalings, so that the example needs
no data; what matters is how the blocks are linked.

Run ``python examples/flowsheet.py``.
"""

import argparse

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network


def build():
    """The flowsheet as a Pyomo model, networks not yet encoded."""
    m = pyo.ConcreteModel("flowsheet")
    m.temperature = pyo.Var(bounds=(300, 400))  # K
    m.feed = pyo.Var(bounds=(0, 10))  # kg/s
    m.intermediate = pyo.Var(bounds=(0, 8))  # kg/s
    m.reflux = pyo.Var(bounds=(1, 5))
    m.purity = pyo.Var(bounds=(0, 1))
    m.preheater = pyo.Var(domain=pyo.Binary)

    # the network works on [-5, 5]^2, the flowsheet in K and kg/s: (offset, factor)
    m.reactor = ReLUNetworkBlock(
        network=example_network("himmelblau_2x25"),
        inputs=[m.temperature, m.feed],
        outputs=[m.intermediate],
        input_scaling=([350, 5], [10, 1]),
        output_scaling=(8, -0.01),
    )
    m.separator = ReLUNetworkBlock(
        network=example_network("peaks_2x20"),
        inputs=[m.intermediate, m.reflux],
        outputs=[m.purity],
        input_scaling=([4, 3], [2, 1]),
        output_scaling=(0.4, 0.07),
    )
    m.heating_limit = pyo.Constraint(expr=m.temperature <= 360 + 40 * m.preheater)
    m.energy = pyo.Constraint(expr=m.feed + 2 * m.reflux <= 14)
    m.specification = pyo.Constraint(expr=m.purity >= 0.6)
    m.profit = pyo.Objective(
        expr=10 * m.intermediate - m.feed - 2 * m.reflux - 6 * m.preheater,
        sense=pyo.maximize,
    )
    return m


def main():
    """Tighten over the whole flowsheet, encode, solve, check both networks."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    m = build()
    pyo.TransformationFactory("relu.obbt").apply_to(m, scope="model")
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    results = pyo.SolverFactory("appsi_highs").solve(m)
    pyo.assert_optimal_termination(results)
    print(f"profit        {pyo.value(m.profit):10.4f}")
    for var in (m.temperature, m.feed, m.intermediate, m.reflux, m.purity):
        print(f"{var.name:<13} {var.value:10.4f}")
    print(f"pre-heater    {'bought' if m.preheater.value > 0.5 else 'not bought':>10}")
    for block in (m.reactor, m.separator):
        print(
            f"{block.name:<13} differs from its network by {block.forward_error():.1e}"
        )


if __name__ == "__main__":
    main()
