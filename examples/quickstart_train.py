"""Train the small Peaks surrogate of the quickstart and export it to ONNX.

    python examples/quickstart_train.py --output peaks.onnx

Needs ``pip install torch onnx``; takes about twenty seconds.  The network maps raw inputs
in [-2, 2]^2 to the raw output; the package's example ``peaks_2x20`` was made this way.
"""

import argparse

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper, save


def peaks(x, y):
    """MATLAB's function of that name."""
    return (
        3 * (1 - x) ** 2 * torch.exp(-(x**2) - (y + 1) ** 2)
        - 10 * (x / 5 - x**3 - y**5) * torch.exp(-(x**2) - y**2)
        - torch.exp(-((x + 1) ** 2) - y**2) / 3
    )


def train(epochs):
    """A trained network that maps raw inputs to raw outputs; prints its error."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    # inputs normalised to [-1, 1], outputs to zero mean and unit variance
    X = 2 * torch.rand(12_000, 2) - 1
    y = peaks(*(2 * X).T)[:, None]
    mean, std = y[:10_000].mean(), y[:10_000].std()
    X_train, y_train = X[:10_000], (y[:10_000] - mean) / std
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 20),
        torch.nn.ReLU(),
        torch.nn.Linear(20, 20),
        torch.nn.ReLU(),
        torch.nn.Linear(20, 1),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _epoch in range(epochs):
        for rows in torch.randperm(len(X_train)).split(100):
            loss = torch.nn.functional.mse_loss(model(X_train[rows]), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    # fold both normalisations into the first and the last layer
    with torch.no_grad():
        error = model(X[10_000:]) * std + mean - y[10_000:]
        model[0].weight /= 2
        model[4].weight *= std
        model[4].bias.mul_(std).add_(mean)
    print(f"held-out error: RMSE {error.square().mean().sqrt():.3f},", end=" ")
    print(f"largest {error.abs().max():.3f}, standard deviation of peaks {std:.3f}")
    return model


def export(model, path):
    """Write the network as ONNX, node by node."""
    nodes, constants = [], []
    name = "x"
    for k, layer in enumerate(model):
        last = k == len(model) - 1
        output = "y" if last else f"t{k}"
        if isinstance(layer, torch.nn.Linear):
            for label, value in (("W", layer.weight), ("b", layer.bias)):
                array = value.detach().numpy().astype(np.float32)
                constants.append(numpy_helper.from_array(array, f"{label}{k}"))
            inputs = [name, f"W{k}", f"b{k}"]
            nodes.append(helper.make_node("Gemm", inputs, [output], transB=1))
        else:
            nodes.append(helper.make_node("Relu", [name], [output]))
        name = output
    graph = helper.make_graph(
        nodes,
        "peaks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    print(f"wrote {path}")


def main():
    """Train and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", metavar="FILE.onnx", required=True, help="the file to write"
    )
    parser.add_argument("--epochs", type=int, default=300, help="default 300")
    arguments = parser.parse_args()
    export(train(arguments.epochs), arguments.output)


if __name__ == "__main__":
    main()
