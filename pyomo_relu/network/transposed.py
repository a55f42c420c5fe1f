"""What to say of weight matrices that fit only transposed."""

import numpy as np


def transposed_hint(weights, biases):
    """What to say if matrices fit the biases transposed, or stand in their place."""
    try:
        sizes = [int(np.prod(np.shape(b))) for b in biases]
        shapes = [np.shape(w) for w in weights]
    except (TypeError, ValueError):
        return ""

    ranks = [{np.ndim(part) for part in given} for given in (weights, biases)]
    if ranks == [{1}, {2}]:
        return " Swap the two? The weights come first, then the biases."

    def fits(shape, size, before):
        return len(shape) == 2 and shape[0] == size and before in (None, shape[1])

    # any number of inputs will do; the last size is nobody's number of inputs
    layers = list(zip(shapes, sizes, [None, *sizes], strict=False))
    turned = [k for k, layer in enumerate(layers) if not fits(*layer)]
    if not turned or not all(fits(layers[k][0][::-1], *layers[k][1:]) for k in turned):
        return ""
    return (
        f" Transpose? The shapes fit with w.T for the weights of layers {turned}: a row "
        "holds the weights of one neuron, as in PyTorch; Keras and scikit-learn keep "
        "them in columns."
    )
