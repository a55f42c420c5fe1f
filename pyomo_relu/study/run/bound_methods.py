"""The study's bound methods by name: as transformations, and as records to look at."""

import numpy as np

#: Name -> (transformation, options) that tightens a model before it is encoded; "none"
#: leaves the encoding (or a solver that reads networks itself) to what it does alone.
BOUND_METHODS = {
    "none": None,
    "interval": ("relu.bounds", {"methods": ["interval"]}),
    "crown": ("relu.bounds", {"methods": ["interval", "crown"]}),
    "split": ("relu.bounds", {"methods": ["interval", "crown", "split"]}),
    "lp": ("relu.obbt", {"methods": ["interval", "crown", "lp"]}),
    "model": ("relu.obbt", {"methods": ["interval", "crown", "lp"], "scope": "model"}),
    "all": ("relu.obbt", {"methods": ["interval", "crown", "split", "lp"]}),
}

_PLAIN = ("interval", "crown", "split", "lp", "all")

#: Criteria of ``units.rescaled`` for the network as it was trained; "scaled" is l1 for
#: the network with its normalisation folded in.
RESCALED = ("l1", "unit", "max", "scaled")

#: Names whose bounds are recorded per layer.
INDICATOR_METHODS = (
    *_PLAIN,
    *(
        f"{criterion} {method}"
        for criterion in RESCALED
        for method in ("interval", "lp")
    ),
)


def record_bounds(data, lower, upper, method, time_limit=None):
    """NeuronBounds by a method of ``INDICATOR_METHODS``.

    Parameters
    ----------
    data : bytes
        An ONNX model of the study, between raw inputs and outputs.
    lower, upper : sequence of float
        The raw box.
    method : str
    time_limit : float, optional
        Seconds.

    Returns
    -------
    NeuronBounds
        In the units of the network as it was trained, or after rescaling.
    """
    from pyomo_relu import load_onnx
    from pyomo_relu.bounds import tighten
    from pyomo_relu.study.training.units import in_units, rescaled

    criterion, _, method = method.rpartition(" ")
    if criterion in ("", "scaled"):
        network = load_onnx(data)
        if criterion:
            network = rescaled(network, "l1")
    else:
        found = in_units(data, criterion)
        network = found.network
        lower, upper = (
            (np.asarray(end) - found.x_offset) / found.x_factor
            for end in (lower, upper)
        )
    _, options = BOUND_METHODS[method]
    bounds, _ = tighten(
        network, lower, upper, methods=options["methods"], time_limit=time_limit
    )
    return bounds
