"""Which neurons matter most to an output's relaxation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.analysis.arguments import record_of
from pyomo_relu.common.arguments import checked, numbers, real
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError
from pyomo_relu.network.network import INPUT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.analysis.arguments import BoundsOrBlock
    from pyomo_relu.common.types import BoolArray


@checked(BoundsError, bounds=record_of, share=real)
def critical_neurons(
    bounds: BoundsOrBlock, weights: ArrayLike | None = None, share: float = 0.5
) -> list[BoolArray]:
    """The unstable neurons beside the output whose bounds are worth most effort.

    A neuron i that the output layer reads with weight c_i contributes at most in
    proportion to ``|c_i| (U_i - L_i)`` to how far the relaxation of ``sum c_i x_i`` is
    off.  The largest contributions are taken until they make up ``share`` of all.

    Parameters
    ----------
    bounds : NeuronBounds or ReLUNetworkBlock
        A block stands for the bounds in force on it.
    weights : array_like, shape (n_outputs,), or number, optional
        The outputs' weights in the objective; default 1.
    share : float
        In (0, 1].

    Returns
    -------
    list of numpy.ndarray of bool, shapes (layer size,)
        One mask per layer, the output layer's empty; what ``milp_obbt`` and ``lp_obbt``
        take as ``neurons``.

    Raises
    ------
    BoundsError
        If ``share`` is not in (0, 1], or the weights do not fit the outputs.

    Notes
    -----
    Tightening critical neurons first follows Wang, Lozano, Cardonha, Bergman,
    "Optimizing over an ensemble of trained neural networks", INFORMS Journal on
    Computing 35 (2023); their own rule is not known to us, this one is ours.
    """
    network = bounds.network
    if not 0 < share <= 1:
        raise BoundsError(f"critical neurons: share must be in (0, 1], not {share}.")
    weights = numbers("weights", 1.0 if weights is None else weights, BoundsError)
    if weights.size not in (1, network.n_outputs):
        raise BoundsError(
            f"critical neurons: {network.name} has "
            f"{counted(network.n_outputs, 'output')}, but got "
            f"{counted(weights.size, 'weight')}."
        )
    c = np.broadcast_to(weights, (network.n_outputs,))
    scores = [np.zeros(layer.size) for layer in network.layers]
    output = network.layers[-1]
    for (layer, post), w in output.terms:
        if layer == INPUT or not post:
            continue  # no relaxation is involved
        width = bounds.upper[layer] - bounds.lower[layer]
        scores[layer] = np.abs(np.asarray(c @ w)) * width * bounds.unstable(layer)
    flat = np.concatenate(scores)
    order = np.argsort(-flat, kind="stable")
    chosen = np.zeros(flat.size, dtype=bool)
    if flat.sum() > 0:
        covered = np.cumsum(flat[order]) / flat.sum()
        count = int(np.searchsorted(covered, share - 1e-12)) + 1
        chosen[order[:count]] = flat[order[:count]] > 0
    return np.split(chosen, np.cumsum([s.size for s in scores])[:-1])
