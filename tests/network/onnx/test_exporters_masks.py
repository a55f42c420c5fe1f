"""Masks, sorting and recurrent layers as both of PyTorch's exporters write them."""

import functools

import numpy as np
import pytest

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from tests.network.onnx.test_exporters import exported

torch = pytest.importorskip("torch")
F = torch.nn.functional


CONTINUOUS = {
    "where": lambda z: torch.where(z > 0, z, 0.0),
    "where_less": lambda z: torch.where(z < 0, torch.zeros_like(z), z),
    "masked_fill": lambda z: z.masked_fill(z < 0, 0.0),
    "product": lambda z: z * (z > 0),
    "product_of_floats": lambda z: (z >= 0).float() * z,
    "leaky": lambda z: torch.where(z > 0, z, 0.1 * z),
    "leaky_sum": lambda z: z * (z > 0) + 0.1 * z * (z <= 0),
    "threshold": lambda z: F.threshold(z, 0.0, 0.0),
    "softshrink": lambda z: F.softshrink(z, 0.3),
    "sign": lambda z: z * torch.sign(z),
    "soft_threshold": lambda z: torch.sign(z) * F.relu(z.abs() - 0.2),
    "soft_threshold_where": lambda z: torch.where(
        z.abs() > 0.3, z - 0.3 * torch.sign(z), 0.0
    ),
    "dead_zone": lambda z: torch.where(
        torch.logical_or(z > 0.3, z < -0.3), z - 0.3 * torch.sign(z), 0.0
    ),
    "clamp": lambda z: torch.where((z > 0) & (z < 1), z, (z >= 1).float()),
    "signs_by_where": lambda z: (
        torch.where(z > 0, torch.ones_like(z), -torch.ones_like(z)) * z
    ),
    "gate_of_a_relu": lambda z: z * (F.relu(z) > 0),
    "elu": lambda z: F.elu(z, 0.0),
    "lp_pool": lambda z: F.lp_pool1d(z[:, None].abs(), 1, 2)[:, 0],
    "group_sort": lambda z: z.view(-1, 2, 3).sort(-1)[0].flatten(1),
    "max_min": lambda z: torch.cat(
        [torch.maximum(*z.chunk(2, 1)), torch.minimum(*z.chunk(2, 1))], 1
    ),
    "top_two": lambda z: z.topk(2, dim=1)[0],
    "sort_descending": lambda z: torch.sort(z, descending=True)[0],
    "norms": lambda z: torch.stack([z.norm(1, 1), z.norm(float("inf"), 1)], 1),
}

#: What only one of the exporters can write.
DYNAMO_ONLY = {
    "threshold_at_one": lambda z: F.threshold(z, 1.0, 1.0),
    "median": lambda z: torch.quantile(z, 0.5, dim=1, keepdim=True),
}

JUMPING = {
    "hardshrink": lambda z: F.hardshrink(z, 0.3),
    "step": lambda z: (z > 0).float(),
    "bare_sign": lambda z: torch.sign(z),
    "gate": lambda z: z * (z > 0.5),
    "other_gate": lambda z: z * (z.flip(1) > 0),
}


class Gallery(torch.nn.Module):
    """All functions of the same linear layer, an output each."""

    def __init__(self, functions):
        super().__init__()
        torch.manual_seed(5)
        self.functions, self.first = list(functions.values()), torch.nn.Linear(4, 6)

    def forward(self, x):
        z = self.first(x)
        return tuple(f(z) for f in self.functions)


class Recurrent(torch.nn.Module):
    """A recurrent layer, with its own start on demand, all or last states."""

    def __init__(self, last=False, start=False, **options):
        super().__init__()
        self.rnn = torch.nn.RNN(2, 3, nonlinearity="relu", batch_first=True, **options)
        copies = options.get("num_layers", 1) * (1 + options.get("bidirectional", 0))
        self.start = torch.full((copies, 1, 3), 0.3) if start else None
        self.last = last

    def forward(self, x):
        y, h = self.rnn(x) if self.start is None else self.rnn(x, self.start)
        return h if self.last else y


RECURRENT = {
    "plain": {},
    "last": {"last": True},
    "two_layers": {"num_layers": 2},
    "both_ways": {"bidirectional": True},
    "all_of_it": {"num_layers": 2, "bidirectional": True, "start": True},
    "no_bias": {"bias": False},
}


class Recurrents(torch.nn.Module):
    """All recurrent layers on the same sequence, an output each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.layers = torch.nn.ModuleList(Recurrent(**o) for o in RECURRENT.values())

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


@functools.cache
def export(kind, dynamo):
    """Module and bytes of its export; the outputs bear the functions' names."""
    functions = {**CONTINUOUS, **JUMPING}
    if dynamo:
        functions.update(DYNAMO_ONLY)
    module = Gallery(functions) if kind == "masks" else Recurrents()
    names = list(functions if kind == "masks" else RECURRENT)
    shape = (4,) if kind == "masks" else (4, 2)
    data = exported(module, shape, dynamo=dynamo, output_names=names)
    return module, shape, names, data


def check(kind, dynamo, name):
    module, shape, names, data = export(kind, dynamo)
    network = load_onnx(data, output=name)
    rng = np.random.default_rng(1)
    X = (2.0 * rng.standard_normal((40, *shape))).astype(np.float32)
    place = names.index(name)
    with torch.no_grad():
        Y = [module(torch.from_numpy(x[None]))[place].reshape(-1).numpy() for x in X]
    ours = network.forward(X.reshape(40, -1))
    np.testing.assert_allclose(ours, np.array(Y), rtol=1e-4, atol=1e-5)


BOTH = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])


@pytest.mark.covering(1)
@BOTH
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name, dynamo):
    check("masks", dynamo, name)


@pytest.mark.parametrize("name", DYNAMO_ONLY)
def test_continuous_by_the_new_exporter(name):
    check("masks", True, name)


@pytest.mark.covering(1)
@BOTH
@pytest.mark.parametrize("name", JUMPING)
def test_jumps_are_refused(name, dynamo):
    *_, data = export("masks", dynamo)
    with pytest.raises(UnsupportedOperatorError, match="jumps") as error:
        load_onnx(data, output=name)
    assert "node '" in str(error.value) and f"'{name}'" in str(error.value)


@pytest.mark.parametrize(
    "dynamo",
    [pytest.param(True, marks=pytest.mark.dense), False],
    ids=["dynamo", "torchscript"],
)
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent(name, dynamo):
    check("recurrent", dynamo, name)
