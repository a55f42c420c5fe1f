"""The same trained network in other units: raw, normalised, and with rescaled neurons.

Exported networks map raw inputs to raw outputs.  Scaling is to be judged on the network
as it was trained, with the normalisation outside of it; the ONNX file's metadata say
how to take it out again.  ``input_scaling`` and ``output_scaling`` of a block are folded
into its layers, so here they are rows of the model around it.
"""

import json
from dataclasses import dataclass, field

import numpy as np

#: "raw": normalisation folded into the layers; "normalised": as trained; the others:
#: as trained, then rescaled neuron by neuron so that the function stays the same.
UNITS = ("raw", "normalised", "l1", "unit", "max")

#: Key of the metadata of an ONNX file.
KEY = "normalisation"


@dataclass(frozen=True)
class NetworkInUnits:
    """A network and the affine maps between its inputs and outputs and raw ones.

    Parameters
    ----------
    network : Network
    x_offset, x_factor : numpy.ndarray, shape (n_inputs,)
        ``x_raw = x_offset + x_factor * x``.
    y_offset, y_factor : float
        ``y_raw = y_offset + y_factor * y``.
    """

    network: object = field(repr=False)
    x_offset: np.ndarray
    x_factor: np.ndarray
    y_offset: float
    y_factor: float


def with_normalisation(model, normalisation):
    """An ``onnx.ModelProto`` whose metadata say how it was normalised; changed here."""
    entry = model.metadata_props.add()
    entry.key = KEY
    entry.value = json.dumps(
        {
            "x_offset": np.asarray(normalisation.x_offset, float).tolist(),
            "x_factor": np.asarray(normalisation.x_factor, float).tolist(),
            "y_offset": float(normalisation.y_offset),
            "y_factor": float(normalisation.y_factor),
        }
    )
    return model


def in_units(data, units):
    """The network of an ONNX file in some units.

    Factors of neurons are rounded to powers of two, so that the rescaled network is the
    same function bit for bit.

    Parameters
    ----------
    data : bytes
        An ONNX model of the study, with its normalisation in the metadata.
    units : str
        Of ``UNITS``.

    Returns
    -------
    NetworkInUnits

    Raises
    ------
    ValueError
        If the units are unknown or the file does not say how it was normalised.
    """
    from pyomo_relu import load_onnx

    if units not in UNITS:
        raise ValueError(f"unknown units '{units}'. Known are {', '.join(UNITS)}.")
    network = load_onnx(data)
    n = network.n_inputs
    if units == "raw":
        return NetworkInUnits(network, np.zeros(n), np.ones(n), 0.0, 1.0)
    offset, factor, y_offset, y_factor = _normalisation(data)
    trained = network.with_scaling(
        (-offset / factor, 1.0 / factor), (-y_offset / y_factor, 1.0 / y_factor)
    )
    if units != "normalised":
        trained = rescaled(trained, units)
    return NetworkInUnits(trained, offset, factor, y_offset, y_factor)


def rescaled(network, criterion):
    """The network with its neurons rescaled; inputs are taken to lie in [-1, 1].

    Parameters
    ----------
    network : Network
    criterion : {"l1", "unit", "max"}
        Least l1 norm of weights and biases (Plate et al., eq. 12); upper interval
        bounds at most one; equal largest incoming and outgoing weights.

    Returns
    -------
    Network
    """
    from pyomo_relu.network import l1_factors, max_factors, rescale_network
    from pyomo_relu.network.rescale import power_of_two

    if criterion == "unit":
        factors = power_of_two(_unit_factors(network), up=False)
    else:
        balance = {"l1": l1_factors, "max": max_factors}[criterion]
        factors = power_of_two(balance(network))
    return rescale_network(network, factors)


def _unit_factors(network):
    from pyomo_relu.bounds import tighten

    ones = np.ones(network.n_inputs)
    bounds, _ = tighten(network, -ones, ones, methods=["interval"])
    tops = [bounds.post_bounds(k)[1] for k in range(len(network.layers) - 1)]
    return [1.0 / np.where(top > 0, np.maximum(top, 2.0**-30), 1.0) for top in tops]


def _normalisation(data):
    import onnx

    model = onnx.load_model_from_string(data)
    found = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in found:
        raise ValueError(
            "the ONNX file does not say how its network was normalised; train it again "
            "with this version of the study, or use the units 'raw'."
        )
    parts = json.loads(found[KEY])
    arrays = (np.array(parts[name]) for name in ("x_offset", "x_factor"))
    return *arrays, parts["y_offset"], parts["y_factor"]
