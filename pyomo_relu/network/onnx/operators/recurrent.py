"""Recurrent layers with piecewise linear activations, unrolled step by step."""

import numpy as np

from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.operators.affine import matrix_product
from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import (
    INSTEAD,
    AffineTensor,
    entries,
    stack,
)

#: Activations and the defaults of their alpha and beta (None: has none).
_ACTIVATIONS = {
    "relu": (None, None),
    "leakyrelu": (0.01, None),
    "affine": (1.0, 0.0),
    "hardsigmoid": (0.2, 0.5),
}


@operator("RNN")
def recurrent(operation, x, w, r, b=None, lengths=None, start=None):
    """h_t = f(W x_t + R h_(t-1) + b), forward, backward or both ways.

    Returns
    -------
    tuple of AffineTensor
        All h_t, shape (steps, directions, batch, hidden), and the last one of each
        direction.
    """
    arguments = (x, w, r, b, lengths, start)
    w, r, b, lengths = (operation.constant(k, arguments) for k in range(1, 5))
    if operation.attribute("layout", 0):
        operation.refuse(
            "layout=1 is not read (onnxruntime does not run it either). Export it with "
            "the steps as first axis."
        )
    steps, batch = x.shape[:2]
    directions, hidden = r.shape[0], r.shape[2]
    lengths = np.full(batch, steps) if lengths is None else np.ravel(lengths)
    b = np.zeros((directions, 2 * hidden)) if b is None else b
    activations = _activations(operation, directions)
    backward = operation.attribute("direction", "forward")
    every, last = [], []
    for d in range(directions):
        order = _order(steps, lengths, backward == "reverse" or d == 1)
        product = matrix_product(operation, x, w[d].T)
        if not isinstance(product, AffineTensor):
            product = AffineTensor.constant(product)
        given = product + (b[d, :hidden] + b[d, hidden:])
        places = given.index()
        h = _initial(start, d, (batch, hidden))
        states = []
        for t in range(steps):
            budget.check_time()
            place = places[order[t], np.arange(batch)]
            pre = given.select(place) + matrix_product(operation, h, r[d].T)
            new = activations[d](pre)
            budget.spend(sum(map(entries, new.arrays())), "the state of a step")
            h = _where(t < lengths, new, h)
            states.append(_where(t < lengths, new, None))
        index = np.arange(steps * batch * hidden).reshape(steps, batch, hidden)
        every.append(stack(states).select(index[order, np.arange(batch)]))
        last.append(h)
    index = np.arange(directions * steps * batch * hidden)
    index = index.reshape(directions, steps, batch, hidden).transpose(1, 0, 2, 3)
    return stack(every).select(index), stack(last).reshape((directions, batch, hidden))


def _order(steps, lengths, backward):
    """The time step that is taken at position t for each sample: shape (steps, N)."""
    t = np.arange(steps)[:, None]
    return np.where(backward & (t < lengths), lengths - 1 - t, t)


def _initial(start, direction, shape):
    if start is None:
        return AffineTensor.constant(np.zeros(shape))
    if not isinstance(start, AffineTensor):
        start = AffineTensor.constant(start)
    return start.select(start.index()[direction])


def _where(chosen, new, old):
    """``new`` for the chosen samples, ``old`` (None: 0) for the others."""
    if np.all(chosen):
        return new
    keep = np.asarray(chosen, dtype=float)[:, None]
    return new * keep if old is None else new * keep + old * (1.0 - keep)


def _activations(operation, directions):
    """One function per direction, with its alpha, beta and the clip before it."""
    names = operation.attribute("activations") or ["Tanh"] * directions
    alphas = list(operation.attribute("activation_alpha") or [])
    betas = list(operation.attribute("activation_beta") or [])
    clip = operation.attribute("clip")
    functions = []
    for name in names[:directions]:
        defaults = _ACTIVATIONS.get(name.lower())
        if defaults is None:
            operation.refuse(
                f"its activation {name} is not piecewise linear or not read. Train "
                f"with nonlinearity='relu'. {INSTEAD}"
            )
        alpha, beta = (
            default if default is None or not given else given.pop(0)
            for default, given in zip(defaults, (alphas, betas), strict=True)
        )
        functions.append(_activation(operation, name.lower(), alpha, beta, clip))
    if len(functions) != directions:
        operation.refuse(
            f"it has {directions} directions but {len(names)} activations."
        )
    return functions


def _activation(operation, name, alpha, beta, clip):
    def function(pre):
        if clip is not None:
            pre = operation.clip(pre, -clip, clip)
        if name == "affine":
            return pre * alpha + beta
        if name == "hardsigmoid":
            return operation.clip(pre * alpha + beta, 0.0, 1.0)
        if name == "relu":
            return operation.relu(pre)
        post, pre = operation.relu_and_pre(pre)
        return pre * alpha + post * (1.0 - alpha)

    return function
