"""The main job: embed an ONNX network in a Pyomo model, tighten, solve, check.

Run ``python examples/quickstart.py``; needs no solver licence.  The network is a
surrogate of the Peaks function on [-2, 2]^2 (made by ``quickstart_train.py``).
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock

ONNX_FILE = Path(__file__).parent / "networks" / "peaks_2x20.onnx"


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


def main():
    """Build, tighten, encode, solve, check, and print one table."""
    m = build()
    before = m.nn.neuron_bounds()
    pyo.TransformationFactory("relu.obbt").apply_to(m)
    after = m.nn.neuron_bounds()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    results = pyo.SolverFactory("appsi_highs").solve(m)
    pyo.assert_optimal_termination(results)

    x = [m.x["x1"].value, m.x["x2"].value]
    rows = [
        ("network", m.nn.network),
        ("stable neurons, interval arithmetic", _stable(before)),
        ("stable neurons, relu.obbt", _stable(after)),
        ("optimal inputs", f"x1 = {x[0]:.5f}, x2 = {x[1]:.5f}"),
        ("optimal output, Pyomo model", f"{pyo.value(m.cost):.6f}"),
        ("output by onnxruntime there", f"{run_onnx(x):.6f}"),
        ("largest difference to the network", f"{m.nn.forward_error():.1e}"),
    ]
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")
    error = abs(run_onnx(x) - pyo.value(m.cost))
    if error > 1e-4:
        raise SystemExit(f"The model and onnxruntime differ by {error}.")


def _stable(bounds):
    return f"{bounds.n_stable} of {bounds.network.n_neurons}"


if __name__ == "__main__":
    main()
