"""The main job: embed an ONNX network in a Pyomo model, solve it by one call, check.

Run ``python examples/quickstart.py [--plot FILE.png]``; needs no solver licence.  The
network is a surrogate of the Peaks function on [-2, 2]^2 (made by
``quickstart_train.py``).
"""

import argparse

import numpy as np
import onnxruntime
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network

ONNX_FILE = example_network("peaks_2x20")


def build():
    """Minimise the network's output over a box with one linear side constraint."""
    m = pyo.ConcreteModel("quickstart")
    m.x = pyo.Var(["x1", "x2"], bounds=(-2, 2))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(
        network=ONNX_FILE, inputs=[m.x["x1"], m.x["x2"]], outputs=[m.y]
    )
    m.budget = pyo.Constraint(expr=m.x["x1"] + m.x["x2"] >= -1)
    m.cost = pyo.Objective(expr=m.y)
    return m


def run_onnx(x):
    """What onnxruntime computes from the file, with no Pyomo involved."""
    session = onnxruntime.InferenceSession(ONNX_FILE)
    (tensor,) = session.get_inputs()
    return session.run(None, {tensor.name: np.asarray([x], dtype=np.float32)})[0].item()


def draw(m, path):
    """The network's output, its linear regions, the constraint and the optimum."""
    from pyomo_relu import plot

    ax = plot.regions(m.nn)
    ax.fill_between([-2, 1], [-2, -2], [1, -2], color="white", alpha=0.6, lw=0)
    ax.plot(
        m.x["x1"].value,
        m.x["x2"].value,
        "*",
        ms=18,
        color="#D55E00",
        mec="white",
        label="proven optimum",
    )
    ax.legend(loc="upper right")
    ax.figure.savefig(path, dpi=110)


def main():
    """Build, tighten, encode, solve, check, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="write a picture to FILE")
    arguments = parser.parse_args()
    m = build()
    results = pyo.SolverFactory("relu").solve(m, mip_gap=1e-6)
    pyo.assert_optimal_termination(results)
    proven = pyo.value(m.cost)

    # the same by a formulation of your choice and any MILP solver
    before = m.nn.neuron_bounds()
    pyo.TransformationFactory("relu.obbt").apply_to(m)
    after = m.nn.neuron_bounds()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))

    x = [m.x["x1"].value, m.x["x2"].value]
    rows = [
        ("network", m.nn.network),
        ('proven optimum, SolverFactory("relu")', f"{proven:.6f}"),
        ("stable neurons, interval arithmetic", _stable(before)),
        ("stable neurons, relu.obbt", _stable(after)),
        ("optimal inputs", f"x1 = {x[0]:.5f}, x2 = {x[1]:.5f}"),
        ("optimal output, relu.bigm and HiGHS", f"{pyo.value(m.cost):.6f}"),
        ("output by onnxruntime there", f"{run_onnx(x):.6f}"),
        ("largest difference to the network", f"{m.nn.forward_error():.1e}"),
    ]
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")
    error = max(abs(run_onnx(x) - pyo.value(m.cost)), abs(proven - pyo.value(m.cost)))
    if error > 1e-4:
        raise SystemExit(f"The model and onnxruntime differ by {error}.")
    if arguments.plot:
        draw(m, arguments.plot)


def _stable(bounds):
    return f"{bounds.n_stable} of {bounds.network.n_neurons}"


if __name__ == "__main__":
    main()
