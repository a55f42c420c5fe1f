"""Trained networks as ONNX models, made with the extra steps that the study compares."""

from dataclasses import dataclass, field, replace

from pyomo_relu.study.training.units import with_normalisation


@dataclass(frozen=True)
class TrainedFile:
    """A trained network as an ONNX model, the box it is used on, and its error."""

    name: str
    onnx: bytes = field(repr=False)
    lower: tuple
    upper: tuple
    nrmse: float
    max_error: float
    n_weights: int


def trained_file(name, target, trained):
    """The TrainedFile of a TrainedNetwork on a problem's box."""
    model = with_normalisation(trained.onnx_model(), trained.normalisation)
    return TrainedFile(
        name,
        model.SerializeToString(deterministic=True),
        tuple(target.lower),
        tuple(target.upper),
        trained.nrmse,
        trained.max_error,
        trained.n_weights,
    )


def train_function(target, hidden, options, seed, data=None):
    """Train on a function or a table, with the study's extra steps.

    Parameters
    ----------
    target : Problem or Table
    hidden : tuple of int
    options : dict
        Fields of TrainingOptions, and "prune" (share of weights removed, then
        "fine_tune_epochs" of training), "ceiling_quantile" (trained without ceilings,
        then for "fine_tune_epochs" with each layer's at that quantile of its positive
        activations), or "sparsify" (for one hidden layer: the tolerance as a multiple
        of the network's own largest error on the data).
    seed : int
    data : Data, optional

    Returns
    -------
    TrainedNetwork
    """
    from pyomo_relu.study.training.pruning import prune
    from pyomo_relu.study.training.sparsify import fitted_error, sparsify
    from pyomo_relu.study.training.training import (
        TrainingOptions,
        layer_quantiles,
        make_data,
        train,
    )

    options = dict(options)
    share = options.pop("prune", None)
    fine_tune = options.pop("fine_tune_epochs", 0)
    tolerance = options.pop("sparsify", None)
    quantile = options.pop("ceiling_quantile", None)
    settings = TrainingOptions(hidden=hidden, seed=seed, **options)
    data = make_data(target, settings) if data is None else data
    trained = train(target, settings, data)
    if share is not None:
        trained = prune(target, trained, share, fine_tune, data=data)
    if quantile is not None:
        ceilings = layer_quantiles(trained, data, quantile)
        settings = replace(settings, ceiling=ceilings, epochs=fine_tune)
        trained = train(target, settings, data, start=trained)
    if tolerance is not None:
        n_points = min(400, len(data.x))
        allowed = tolerance * fitted_error(trained, data, n_points)
        trained = sparsify(target, trained, allowed, n_points, data)
    return trained
