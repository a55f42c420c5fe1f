"""Optimising the mean of several networks that share their inputs.

Three networks were trained on the same function from different seeds; the mean of
their predictions is minimised over the box.  Bounds are tightened network by network,
with exact (MILP) bounds for the neurons that matter most to each output, and the
Lagrangian bound of the ensemble is compared with the linear relaxation's.

Run ``python examples/ensemble.py``.

Source: Wang, Lozano, Cardonha, Bergman, "Optimizing over an ensemble of trained neural
networks", INFORMS Journal on Computing 35 (2023).
"""

import argparse

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network, load_onnx
from pyomo_relu.analysis import critical_neurons, lagrangian_bound, measure_effort
from pyomo_relu.bounds import tighten
from pyomo_relu.bounds.obbt.milp import milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions

FILES = [example_network(f"peaks_2x10_seed{seed}") for seed in range(3)]
BOX = (-2.0, 2.0)


def build(networks, box=BOX):
    """min of the networks' mean over a box, one block per network.

    Parameters
    ----------
    networks : sequence of Network
        With the same inputs and one output each.
    box : (float, float)
        Bounds of every input.

    Returns
    -------
    pyomo.environ.ConcreteModel
    """
    m = pyo.ConcreteModel("ensemble")
    m.x = pyo.Var(range(networks[0].n_inputs), bounds=box)
    m.members = pyo.RangeSet(0, len(networks) - 1)
    m.member = ReLUNetworkBlock(
        m.members,
        network=lambda e: networks[e],
        inputs=lambda e: [m.x[j] for j in m.x],
    )
    m.mean = pyo.Objective(
        expr=sum(m.member[e].outputs[0] for e in m.members) / len(networks)
    )
    return m


def tighten_members(networks, box=BOX, share=0.5, solve_limit=2.0, solver=None):
    """Bounds of every network: cheap ones for all neurons, exact ones where it counts.

    Parameters
    ----------
    share : float
        How much of the output's relaxation the exactly bounded neurons make up.
    solve_limit : float
        Seconds per MILP; its dual bound counts then.

    Returns
    -------
    list of NeuronBounds
    """
    result = []
    for network in networks:
        bounds, _ = tighten(network, *box)
        critical = critical_neurons(bounds, share=share)
        bounds, _ = milp_obbt(
            network,
            bounds,
            TighteningOptions(solve_limit=solve_limit, solver=solver),
            neurons=critical,
        )
        result.append(bounds)
    return result


def main(arguments=None):
    """Bounds, the Lagrangian bound, and the optimum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", default="highs", choices=["highs", "gurobi"])
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--time-limit", type=float, default=120.0)
    options = parser.parse_args(arguments)
    networks = [load_onnx(path) for path in FILES]
    bounds = tighten_members(networks, solver=options.solver)
    for network, record in zip(networks, bounds, strict=True):
        exact = sum(int(np.sum(s == "milp")) for s in record.source)
        print(
            f"{network.name}: {record.n_unstable} of {network.n_neurons} neurons "
            f"unstable, {exact} bounded exactly"
        )
    dual = lagrangian_bound(
        networks,
        *BOX,
        neuron_bounds=bounds,
        iterations=options.iterations,
        solver=options.solver,
    )
    alone = dual.bounds[0]
    print(f"each network on its own:       {alone:9.4f}")
    print(f"Lagrangian bound:              {dual.bound:9.4f}")
    print(f"best point of its subproblems: {dual.value:9.4f}")
    m = build(networks)
    for e in m.members:
        m.member[e].use_bounds(bounds[e])  # relu.bigm takes them from there
    effort = measure_effort(
        m, ["relu.bigm"], options.solver, time_limit=options.time_limit
    )
    print(f"linear relaxation:             {effort.relaxation_bound:9.4f}")
    print(f"optimum ({effort.status}):             {effort.objective:9.4f}")
    print(
        f"at {[round(m.x[j].value, 4) for j in m.x]}, {effort.nodes} nodes, "
        f"{effort.solve_seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
