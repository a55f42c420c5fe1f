"""Penalties that make a network easier to optimise over; torch, no training loop.

The bound-based ones use interval arithmetic written in torch operations, so that their
gradients reach the weights.  Source: Tsay, "Training for tractability" (2026), R_BW and
R_SN; the interval recursion is the usual one for a box given by midpoint and radius.
"""

import torch


def interval_bounds(weights, biases, ceilings, midpoint, radius):
    """Differentiable interval bounds of the hidden layers' pre-activations.

    With ``|x - m| <= r`` the pre-activation ``v = W x + b`` obeys
    ``|v - (W m + b)| <= |W| r``; the activation maps both ends monotonically.

    Parameters
    ----------
    weights, biases : sequence of torch.Tensor
        All layers of a chain, the output layer included (and ignored).
    ceilings : sequence of (None | float)
        One per hidden layer.
    midpoint, radius : torch.Tensor, shape (n_inputs,)
        The input box.

    Returns
    -------
    list of (L, U)
        One pair of tensors of shape (layer size,) per hidden layer.
    """
    bounds = []
    for w, b, ceiling in zip(weights, biases, ceilings, strict=False):
        centre = w @ midpoint + b
        spread = w.abs() @ radius
        lower, upper = centre - spread, centre + spread
        bounds.append((lower, upper))
        post_lower = lower.clamp(0, ceiling)
        post_upper = upper.clamp(0, ceiling)
        midpoint = (post_upper + post_lower) / 2
        radius = (post_upper - post_lower) / 2
    return bounds


def bound_width(bounds):
    """R_BW: mean over the hidden neurons of ``U - L``."""
    return torch.cat([upper - lower for lower, upper in bounds]).mean()


def stability(bounds, ceilings):
    """R_SN: mean over the hidden neurons of the distance to a stable state.

    Without a ceiling that distance is ``min(max(0, -L), max(0, U))``.  With ceiling c a
    neuron is also stable where L >= c, and active only if U <= c, so the distance is
    ``min(max(0, U), max(-L, U - c, 0), max(0, c - L))`` (our extension).
    """
    distances = []
    for (lower, upper), ceiling in zip(bounds, ceilings, strict=False):
        inactive, active = upper.clamp(min=0), (-lower).clamp(min=0)
        if ceiling is None:
            distances.append(torch.minimum(active, inactive))
            continue
        active = torch.maximum(active, upper - ceiling)
        at_ceiling = (ceiling - lower).clamp(min=0)
        distances.append(torch.minimum(torch.minimum(active, inactive), at_ceiling))
    return torch.cat(distances).mean()


def l1(weights):
    """Sum of the absolute values of all weights (biases are free)."""
    return sum(w.abs().sum() for w in weights)


def l2(weights):
    """Sum of the squares of all weights (biases are free)."""
    return sum(w.square().sum() for w in weights)
