"""Minimising surrogates alone and coupled, and timed solves with one thread.

python -m pyomo_relu.study.problems.surrogates peaks_2x25 ackley2_3x25 --formulation relu.cells
"""

import argparse
import time
from typing import NamedTuple

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_networks

#: The relative gap to which optimality is proven.
GAP = 1e-4


def surrogate_model(names, share=0.4):
    """The sum of the networks' outputs is minimised over their input boxes.

    Parameters
    ----------
    names : sequence of str
        Of ``pyomo_relu.example_networks()``.
    share : float
        If there are several, the sum of their first inputs must be at least this share
        of the sum of the upper bounds.

    Returns
    -------
    pyomo.environ.ConcreteModel
        With untransformed network blocks ``nn``.
    """
    known = example_networks()
    parts = [known[name] for name in names]
    m = pyo.ConcreteModel(" + ".join(names))
    m.parts = pyo.RangeSet(0, len(names) - 1)
    m.nn = ReLUNetworkBlock(m.parts, network={n: parts[n].path for n in m.parts})
    for n, block in m.nn.items():
        box = parts[n]
        for var, lower, upper in zip(
            block.input_vars(), box.lower, box.upper, strict=True
        ):
            var.setlb(lower)
            var.setub(upper)
    if len(names) > 1:
        firsts = [block.inputs[0] for block in m.nn.values()]
        m.link = pyo.Constraint(expr=sum(firsts) >= share * sum(x.ub for x in firsts))
    m.cost = pyo.Objective(expr=sum(block.outputs[0] for block in m.nn.values()))
    return m


class Outcome(NamedTuple):
    """What a timed solve found; ``best`` is None without a feasible point."""

    seconds: float
    proven: bool
    best: float
    bound: float
    nodes: int


def timed_solve(model, solver="highs", time_limit=60.0, seed=0):
    """Solve a Pyomo model with one thread.

    Parameters
    ----------
    solver : {"highs", "gurobi"}
    time_limit : float
        Seconds.

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    if solver == "highs":
        from pyomo.contrib.appsi.solvers import Highs

        opt = Highs()
        # the seed changes the search only, not the model
        options = {"parallel": "off", "mip_rel_gap": GAP, "random_seed": seed}
    else:
        from pyomo.contrib.appsi.solvers import Gurobi

        opt = Gurobi()
        options = {"Threads": 1, "MIPGap": GAP, "Seed": seed, "OutputFlag": 0}
    setattr(opt, f"{solver}_options", options)
    opt.config.time_limit = time_limit
    opt.config.load_solution = False
    results = opt.solve(model)
    status = results.termination_condition.name
    if results.best_feasible_objective is not None:
        results.solution_loader.load_vars()
    raw = opt._solver_model
    nodes = raw.getInfo().mip_node_count if solver == "highs" else raw.NodeCount
    return Outcome(
        time.perf_counter() - start,
        status == "optimal",
        results.best_feasible_objective,
        results.best_objective_bound,
        int(nodes),
    )


def root_bound(model, time_limit=60.0):
    """The optimum of the linear relaxation."""
    relaxed = model.clone()
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(relaxed)
    return timed_solve(relaxed, time_limit=time_limit).best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--formulation", default="relu.auto")
    parser.add_argument("--solver", default="highs", choices=["highs", "gurobi"])
    parser.add_argument("--time-limit", type=float, default=60.0)
    args = parser.parse_args()
    model = surrogate_model(args.names)
    start = time.perf_counter()
    pyo.TransformationFactory(args.formulation).apply_to(model)
    prepared = time.perf_counter() - start
    outcome = timed_solve(model, args.solver, args.time_limit)
    print(f"{prepared:.2f} s to encode, then {outcome}")


if __name__ == "__main__":
    main()
