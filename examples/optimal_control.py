"""Optimal control with learned dynamics: one network at every time step.

A pendulum with drag is brought to rest.  A network has learned how its speed changes
within a step, and stands at every step of the horizon as a member of one indexed block;
the model is in ``pyomo_relu/study/problems/pendulum.py``.

Run ``python examples/optimal_control.py [--horizon 6]``.
"""

import argparse

import pyomo.environ as pyo

from pyomo_relu.study.problems.pendulum import build, simulate, true_cost


def main(arguments=None):
    """Tighten with the whole horizon in view, encode, solve, and compare with truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--horizon", type=int, default=6)
    parser.add_argument("--solver", default="appsi_highs")
    options = parser.parse_args(arguments)
    m = build(horizon=options.horizon)
    # the dynamics link the steps: bounds are proven for all of them together
    pyo.TransformationFactory("relu.obbt").apply_to(m, scope="model")
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    results = pyo.SolverFactory(options.solver).solve(m)
    pyo.assert_optimal_termination(results)
    truth = simulate([m.torque[t].value for t in m.steps])
    print("step   torque    angle    speed   true angle   true speed")
    for t in m.states:
        torque = f"{m.torque[t].value:8.3f}" if t < options.horizon else " " * 8
        print(
            f"{t:4d} {torque} {m.angle[t].value:8.3f} {m.speed[t].value:8.3f} "
            f"{truth[t, 0]:12.3f} {truth[t, 1]:12.3f}"
        )
    print(f"cost {pyo.value(m.cost):.4f}, under the true law {true_cost(m):.4f}")


if __name__ == "__main__":
    main()
