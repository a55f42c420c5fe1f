"""Trains dense ReLU networks on a benchmark problem; the studies' runs live elsewhere.

Inputs are normalised to [-1, 1] over the box, outputs to zero mean and unit variance,
and both maps are folded into the first and the last layer, so that the exported network
maps raw inputs to raw outputs.  Everything random comes from one seed.
"""

import contextlib
import itertools
import math
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from pyomo_relu.study.training import regularisers
from pyomo_relu.study.training.export import onnx_model, write_onnx


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Parameters
    ----------
    hidden : tuple of int
        Sizes of the hidden layers.
    samples : int
        Latin-hypercube samples, held-out ones included.
    held_out : float
        Share of the samples that is kept for the error estimate.
    epochs, batch, learning_rate
        Of Adam; the rate falls to zero along a half cosine.
    l1, l2 : float
        Weights of the penalties ``sum |w|`` and ``sum w^2``.
    dropout : float
        Probability with which a hidden neuron is dropped in a training step.
    ceiling : None or float or tuple of float
        Ceiling of every hidden neuron's activation (in normalised units), or one per
        hidden layer.
    bound_width, stability : float
        Weights of R_BW and R_SN, see ``regularisers``.
    seed : int
    """

    hidden: tuple = (25, 25)
    samples: int = 20_000
    held_out: float = 0.3
    epochs: int = 80
    batch: int = 512
    learning_rate: float = 3e-3
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    ceiling: float | tuple | None = None
    bound_width: float = 0.0
    stability: float = 0.0
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(int(n) for n in self.hidden))
        checks = {
            "hidden": all(n > 0 for n in self.hidden),
            "samples": self.samples >= 10,
            "held_out": 0 < self.held_out < 1,
            "epochs": self.epochs >= 0,
            "batch": self.batch > 0,
            "learning_rate": self.learning_rate > 0,
            "l1": self.l1 >= 0,
            "l2": self.l2 >= 0,
            "dropout": 0 <= self.dropout < 1,
            "ceiling": len(self.ceilings) == len(self.hidden)
            and all(c is None or c > 0 for c in self.ceilings),
            "bound_width": self.bound_width >= 0,
            "stability": self.stability >= 0,
        }
        for name, ok in checks.items():
            if not ok:
                raise ValueError(
                    f"training option {name} = {getattr(self, name)!r} is out of range."
                )

    @property
    def ceilings(self):
        """The ceiling of each hidden layer, or None."""
        if isinstance(self.ceiling, (tuple, list)):
            return list(self.ceiling)
        return [self.ceiling] * len(self.hidden)

    def to_dict(self):
        """Plain numbers, strings and lists, for JSON."""
        return {**asdict(self), "hidden": list(self.hidden)}


@dataclass(frozen=True)
class Normalisation:
    """``x_raw = x_offset + x_factor * x``, ``y_raw = y_offset + y_factor * y``."""

    x_offset: np.ndarray
    x_factor: np.ndarray
    y_offset: float
    y_factor: float

    def fold(self, weights, biases):
        """Weights and biases of the same network between raw inputs and outputs."""
        weights = [np.array(w, dtype=float) for w in weights]
        biases = [np.array(b, dtype=float) for b in biases]
        weights[0] = weights[0] / self.x_factor
        biases[0] = biases[0] - weights[0] @ self.x_offset
        weights[-1] = self.y_factor * weights[-1]
        biases[-1] = self.y_factor * biases[-1] + self.y_offset
        return weights, biases


@dataclass(frozen=True)
class Data:
    """Normalised samples as float32 tensors, split into training and held-out ones."""

    x: torch.Tensor = field(repr=False)
    y: torch.Tensor = field(repr=False)
    x_held_out: torch.Tensor = field(repr=False)
    y_held_out: torch.Tensor = field(repr=False)
    normalisation: Normalisation


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained chain of dense layers in normalised units, and how well it fits.

    ``nrmse`` is the root mean square error on the held-out samples divided by the
    standard deviation of their values, ``max_error`` the largest absolute error there
    in the function's own units.  ``weights`` and ``biases`` are float32 arrays.
    """

    problem: str
    options: TrainingOptions
    weights: tuple = field(repr=False)
    biases: tuple = field(repr=False)
    normalisation: Normalisation = field(repr=False)
    nrmse: float
    max_error: float

    @property
    def ceilings(self):
        """The ceiling of each hidden layer, or None."""
        return self.options.ceilings

    @property
    def n_weights(self):
        """Number of nonzero weights."""
        return int(sum(np.count_nonzero(w) for w in self.weights))

    def folded(self):
        """Weights and biases (float64) between raw inputs and raw outputs."""
        return self.normalisation.fold(self.weights, self.biases)

    def onnx_model(self):
        """The network between raw inputs and raw outputs as an ``onnx.ModelProto``."""
        return onnx_model(*self.folded(), self.ceilings, self.problem)

    def write_onnx(self, path):
        """Write that model to ``path``, atomically."""
        write_onnx(path, *self.folded(), self.ceilings, self.problem)

    def forward(self, X):
        """Raw outputs (N,) that torch computes at the raw points ``X`` (N, n)."""
        norm = self.normalisation
        x = as_tensor((np.asarray(X, dtype=float) - norm.x_offset) / norm.x_factor)
        weights, biases = _tensors(self.weights), _tensors(self.biases)
        y = evaluate(x, weights, biases, self.ceilings)
        return norm.y_offset + norm.y_factor * y.double().numpy()


@contextlib.contextmanager
def reproducible():
    """One thread and deterministic algorithms, restored afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def make_data(problem, options):
    """Sample ``problem`` and normalise; the last samples are the held-out ones."""
    X = problem.latin_hypercube(options.samples, options.seed)
    y = problem(X)
    # Latin-hypercube samples come in random order: a cut is a random split.
    n = options.samples - max(1, round(options.held_out * options.samples))
    return split_data(X, y, problem.lower, problem.upper, n)


def split_data(X, y, lower, upper, n):
    """Normalise inputs by their box and outputs by the first ``n`` samples' moments.

    Parameters
    ----------
    X, y : numpy.ndarray, shapes (N, n_inputs), (N,) or (N, n_outputs)
        In random order; those from ``n`` on are the held-out ones.
    lower, upper : sequence of float
        The input box.
    n : int

    Returns
    -------
    Data
    """
    lower, upper = np.array(lower), np.array(upper)
    norm = Normalisation(
        (lower + upper) / 2,
        (upper - lower) / 2,
        float(y[:n].mean()),
        float(y[:n].std()),
    )
    x = as_tensor((X - norm.x_offset) / norm.x_factor)
    y = as_tensor((y - norm.y_offset) / norm.y_factor)
    return Data(x[:n], y[:n], x[n:], y[n:], norm)


def train(problem, options=TrainingOptions(), data=None, start=None, masks=None):
    """Train a network on ``problem``.

    The loss is the mean squared error plus the penalties chosen in ``options``.

    Parameters
    ----------
    problem : Problem
    options : TrainingOptions
    data : Data, optional
        As ``make_data(problem, options)`` gives; to share samples between trainings.
    start : TrainedNetwork, optional
        Whose weights training begins with (fine-tuning); else random ones.
    masks : sequence of array_like of bool, optional
        Weights that may be nonzero, one array per layer; the others stay zero.

    Returns
    -------
    TrainedNetwork
    """
    with reproducible():
        data = make_data(problem, options) if data is None else data
        generator = torch.Generator().manual_seed(options.seed)
        if start is None:
            sizes = (problem.dimension, *options.hidden, 1)
            weights, biases = _initialise(sizes, generator)
        else:
            weights, biases = _tensors(start.weights), _tensors(start.biases)
        masks = None if masks is None else _tensors(masks)
        _descend(weights, biases, data, options, generator, masks)
        return finish(problem.name, options, weights, biases, data)


def finish(problem_name, options, weights, biases, data):
    """Measure the held-out error and freeze the weights into a ``TrainedNetwork``."""
    weights, biases = _tensors(weights), _tensors(biases)
    ceilings = options.ceilings
    with torch.no_grad():
        y = evaluate(data.x_held_out, weights, biases, ceilings).double()
        error = y - data.y_held_out.double()
        nrmse = float(error.square().mean().sqrt() / data.y_held_out.double().std())
        largest = float(error.abs().max()) * data.normalisation.y_factor
    if not math.isfinite(nrmse):
        raise ArithmeticError(
            f"{problem_name}: training diverged (error {nrmse}). Lower the learning "
            "rate or the weights of the penalties."
        )
    return TrainedNetwork(
        problem_name,
        options,
        tuple(w.detach().numpy().copy() for w in weights),
        tuple(b.detach().numpy().copy() for b in biases),
        data.normalisation,
        nrmse,
        largest,
    )


def layer_quantiles(network, data, quantile):
    """A quantile of each hidden layer's positive activations over the training samples.

    Parameters
    ----------
    network : TrainedNetwork
    data : Data
    quantile : float
        In (0, 1].

    Returns
    -------
    tuple of float
        One per hidden layer; where a layer is never active, one.
    """
    found, x = [], data.x.numpy()
    for w, b, c in zip(network.weights, network.biases, network.ceilings, strict=False):
        x = np.clip(x @ w.T + b, 0, c)
        active = x[x > 0]
        found.append(float(np.quantile(active, quantile)) if active.size else 1.0)
    return tuple(found)


def evaluate(x, weights, biases, ceilings, dropout=0.0, generator=None):
    """Network outputs (N,) for normalised inputs (N, n); dropout while training."""
    for w, b, ceiling in zip(weights[:-1], biases[:-1], ceilings, strict=True):
        x = torch.addmm(b, x, w.T)
        x = x.relu() if ceiling is None else x.clamp(0, ceiling)
        if dropout:
            keep = torch.rand(x.shape, generator=generator) >= dropout
            x = x * keep / (1 - dropout)
    return torch.addmm(biases[-1], x, weights[-1].T)[:, 0]


def penalty(weights, biases, options):
    """The weighted sum of the penalties in ``options``; 0 if there are none."""
    total = 0.0
    if options.l1:
        total = total + options.l1 * regularisers.l1(weights)
    if options.l2:
        total = total + options.l2 * regularisers.l2(weights)
    if options.bound_width or options.stability:
        n = weights[0].shape[1]
        ceilings = options.ceilings
        box = torch.zeros(n), torch.ones(n)
        bounds = regularisers.interval_bounds(weights, biases, ceilings, *box)
        total = total + options.bound_width * regularisers.bound_width(bounds)
        total = total + options.stability * regularisers.stability(bounds, ceilings)
    return total


def _descend(weights, biases, data, options, generator, masks):
    parameters = [*weights, *biases]
    for p in parameters:
        p.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, lr=options.learning_rate, fused=True)
    ceilings = options.ceilings
    n = len(data.x)
    steps = max(1, options.epochs * math.ceil(n / options.batch))
    step = 0
    _mask(weights, masks)
    for _ in range(options.epochs):
        order = torch.randperm(n, generator=generator)
        for rows in order.split(options.batch):
            rate = options.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            optimiser.param_groups[0]["lr"] = rate
            y = evaluate(
                data.x[rows], weights, biases, ceilings, options.dropout, generator
            )
            loss = (y - data.y[rows]).square().mean()
            loss = loss + penalty(weights, biases, options)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            _mask(weights, masks)
            step += 1


def _mask(weights, masks):
    if masks is not None:
        with torch.no_grad():
            for w, mask in zip(weights, masks, strict=True):
                w.mul_(mask)


def _initialise(sizes, generator):
    """Weights and biases uniform in +-1/sqrt(fan-in), as torch.nn.Linear has them."""
    weights, biases = [], []
    for n_in, n_out in itertools.pairwise(sizes):
        limit = 1 / math.sqrt(n_in)
        for shape, tensors in (((n_out, n_in), weights), ((n_out,), biases)):
            draw = torch.rand(shape, generator=generator)
            tensors.append((2 * draw - 1) * limit)
    return weights, biases


def as_tensor(array):
    """A float32 copy of an array."""
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _tensors(arrays):
    return [
        (a.detach().clone() if torch.is_tensor(a) else as_tensor(a)) for a in arrays
    ]
