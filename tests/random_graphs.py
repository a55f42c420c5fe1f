"""Random legal ONNX graphs that are piecewise linear; no test logic here."""

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

#: Tensors larger than this are not processed further.
MOST_ENTRIES = 120


class RandomGraph:
    """Grows a graph node by node; every tensor's shape is known, the batch is 1."""

    def __init__(self, rng, shape, opset):
        self.rng, self.opset = rng, opset
        self.nodes, self.constants = [], []
        self.shapes = {"x": (1, *shape)}
        self.count = 0

    def name(self):
        self.count += 1
        return f"t{self.count}"

    def constant(self, array):
        """Store a constant, as initializer or as Constant node; its name."""
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = self.name()
        tensor = numpy_helper.from_array(array, name)
        if self.rng.random() < 0.2:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def weights(self, *shape):
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(fan_in))

    def add(self, op_type, inputs, shape, **attributes):
        """Append a node with one output of ``shape``; its name."""
        name = self.name()
        label = f"n{self.count}" if self.rng.random() < 0.5 else ""
        self.nodes.append(
            helper.make_node(op_type, inputs, [name], name=label, **attributes)
        )
        self.shapes[name] = tuple(shape)
        return name

    def pick(self, least=1, most=9):
        """A recent tensor whose number of axes lies in [least, most], or None."""
        fitting = [
            n
            for n, s in self.shapes.items()
            if least <= len(s) <= most and np.prod(s) <= MOST_ENTRIES
        ]
        if not fitting:
            return None
        return fitting[-1 - min(int(self.rng.geometric(0.6)) - 1, len(fitting) - 1)]

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def model(self, outputs):
        values = [
            helper.make_tensor_value_info(
                "x", TensorProto.FLOAT, ("N", *self.shapes["x"][1:])
            )
        ]
        targets = [helper.make_tensor_value_info(n, 1, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "random", values, targets, self.constants)
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


# -- steps: each appends nodes, or nothing where it does not apply ---------------------


def _unary(op_type, **attributes):
    def step(g):
        x = g.pick()
        g.add(op_type, [x], g.shapes[x], **attributes)

    return step


def leaky(g):
    x = g.pick()
    g.add("LeakyRelu", [x], g.shapes[x], alpha=float(g.rng.uniform(-0.5, 1.5)))


def prelu(g):
    x = g.pick()
    g.add("PRelu", [x, g.weights(g.shapes[x][-1])], g.shapes[x])


def clip(g):
    x = g.pick()
    low, high = np.sort(g.rng.standard_normal(2)) + [0.0, 3.0]
    if g.opset < 11:
        g.add("Clip", [x], g.shapes[x], min=float(low), max=float(high))
        return
    limits = [["low", "high"], ["low"], ["", "high"]][g.integer(0, 2)]
    values = {"low": low, "high": high}
    names = [n and g.constant(np.array(values[n])) for n in limits]
    g.add("Clip", [x, *names], g.shapes[x])


def arithmetic(g):
    x = g.pick()
    op_type = ["Add", "Sub", "Mul", "Div"][g.integer(0, 3)]
    shape = g.shapes[x][-g.integer(1, len(g.shapes[x])) :]
    value = g.rng.uniform(0.5, 2.0, shape) * g.rng.choice([-1.0, 1.0], shape)
    pair = [x, g.constant(value)]
    if op_type != "Div" and g.rng.random() < 0.5:
        pair.reverse()
    g.add(op_type, pair, g.shapes[x])


def combine(g):
    x = g.pick()
    same = [n for n, s in g.shapes.items() if s == g.shapes[x]]
    other = same[g.integer(0, len(same) - 1)]
    op_type = ["Add", "Sub", "Max", "Min", "Sum", "Mean"][g.integer(0, 5)]
    g.add(op_type, [x, other], g.shapes[x])


def extremum(g):
    x = g.pick()
    op_type = ["Max", "Min"][g.integer(0, 1)]
    g.add(op_type, [x, g.weights(g.shapes[x][-1])], g.shapes[x])


def gemm(g):
    x = g.pick(2, 2)
    if x is None:
        return
    n, m = g.shapes[x][1], g.integer(1, 6)
    transposed = g.integer(0, 1)
    w = g.weights(m, n) if transposed else g.weights(n, m)
    least = 0 if g.opset >= 11 else 1
    bias = [[], [g.weights(m)], [g.weights(1, m)]][g.integer(least, 2)]
    g.add("Gemm", [x, w, *bias], (1, m), transB=transposed, alpha=0.75)


def matmul(g):
    x = g.pick(2)
    if x is None:
        return
    m = g.integer(1, 5)
    shape = g.shapes[x]
    g.add("MatMul", [x, g.weights(shape[-1], m)], (*shape[:-1], m))


def convolution(g):
    x = g.pick(3, 5)
    if x is None:
        return
    channels, grid = g.shapes[x][1], g.shapes[x][2:]
    groups = channels if g.rng.random() < 0.3 else 1
    kernel = [g.integer(1, min(3, n)) for n in grid]
    strides = [g.integer(1, 2) for _ in grid]
    pads = [g.integer(0, 1) for _ in (*grid, *grid)]
    filters = groups * g.integer(1, 2)
    w = g.weights(filters, channels // groups, *kernel)
    axes = len(grid)
    out = [
        (n + pads[a] + pads[axes + a] - kernel[a]) // strides[a] + 1
        for a, n in enumerate(grid)
    ]
    bias = [g.weights(filters)] if g.integer(0, 1) else []
    g.add(
        "Conv",
        [x, w, *bias],
        (1, filters, *out),
        strides=strides,
        pads=pads,
        group=groups,
    )


def pooling(g):
    x = g.pick(3, 5)
    if x is None:
        return
    grid = g.shapes[x][2:]
    kernel = [g.integer(1, min(3, n)) for n in grid]
    strides = [g.integer(1, 2) for _ in grid]
    out = [(n - k) // s + 1 for n, k, s in zip(grid, kernel, strides, strict=True)]
    op_type = ["MaxPool", "AveragePool"][g.integer(0, 1)]
    shape = (*g.shapes[x][:2], *out)
    g.add(op_type, [x], shape, kernel_shape=kernel, strides=strides)


def global_pooling(g):
    x = g.pick(3, 5)
    if x is None:
        return
    op_type = ["GlobalMaxPool", "GlobalAveragePool"][g.integer(0, 1)]
    shape = g.shapes[x]
    g.add(op_type, [x], (*shape[:2], *[1] * (len(shape) - 2)))


def batch_norm(g):
    x = g.pick(2)
    if x is None:
        return
    c = g.shapes[x][1]
    parameters = [g.weights(c), g.weights(c), g.weights(c)]
    variance = g.constant(g.rng.uniform(0.3, 2.0, c))
    g.add("BatchNormalization", [x, *parameters, variance], g.shapes[x])


def reduction(g):
    x = g.pick(2)
    if x is None:
        return
    op_type = ["ReduceMax", "ReduceMin", "ReduceMean"][g.integer(0, 2)]
    axis, keep = g.integer(1, len(g.shapes[x]) - 1), g.integer(0, 1)
    shape = list(g.shapes[x])
    shape[axis : axis + 1] = [1] * keep
    if g.opset >= 18:
        inputs, attributes = [x, g.constant(np.array([axis]))], {}
    else:
        inputs, attributes = [x], {"axes": [axis]}
    g.add(op_type, inputs, shape, keepdims=keep, **attributes)


def flatten(g):
    x = g.pick()
    g.add("Flatten", [x], (1, int(np.prod(g.shapes[x]))))


def reshape(g):
    x = g.pick()
    n = int(np.prod(g.shapes[x]))
    k = max(d for d in range(1, 5) if n % d == 0)
    target = g.constant(np.array([1, -1, k], dtype=np.int64))
    g.add("Reshape", [x, target], (1, n // k, k))


def transpose(g):
    x = g.pick(3)
    if x is None:
        return
    shape = g.shapes[x]
    perm = [0, *(1 + g.rng.permutation(len(shape) - 1)).tolist()]
    g.add("Transpose", [x], [shape[p] for p in perm], perm=perm)


def concatenate(g):
    x = g.pick(2)
    if x is None:
        return
    shape = g.shapes[x]
    same = [n for n, s in g.shapes.items() if s == shape]
    other = same[g.integer(0, len(same) - 1)]
    result = (*shape[:-1], 2 * shape[-1])
    g.add("Concat", [x, other], result, axis=len(shape) - 1)


def gather(g):
    x = g.pick(2)
    if x is None:
        return
    shape = g.shapes[x]
    index = g.rng.integers(-shape[-1], shape[-1], g.integer(1, 4))
    shape = (*shape[:-1], len(index))
    g.add("Gather", [x, g.constant(index)], shape, axis=len(shape) - 1)


STEPS = {
    "relu": _unary("Relu"),
    "abs": _unary("Abs"),
    "neg": _unary("Neg"),
    "identity": _unary("Identity"),
    "cast": _unary("Cast", to=TensorProto.FLOAT),
    "hard_sigmoid": _unary("HardSigmoid"),
    "dropout": _unary("Dropout"),
    "leaky": leaky,
    "prelu": prelu,
    "clip": clip,
    "arithmetic": arithmetic,
    "combine": combine,
    "extremum": extremum,
    "gemm": gemm,
    "matmul": matmul,
    "convolution": convolution,
    "pooling": pooling,
    "global_pooling": global_pooling,
    "batch_norm": batch_norm,
    "reduction": reduction,
    "flatten": flatten,
    "reshape": reshape,
    "transpose": transpose,
    "concatenate": concatenate,
    "gather": gather,
}


def random_model(steps, seed, shape=(3,), opset=17):
    """A model that applies ``steps`` (names in STEPS) to recent tensors in turn.

    Parameters
    ----------
    steps : sequence of str
        Steps that fit no tensor are left out.
    seed : int
        Decides weights, attributes and which tensors are joined.
    shape : tuple of int
        Shape of the input "x" without its (symbolic) batch axis.
    opset : int

    Returns
    -------
    onnx.ModelProto
        Its outputs are the last tensor and, at times, one more.
    """
    graph = RandomGraph(np.random.default_rng(seed), shape, opset)
    for step in steps:
        STEPS[step](graph)
    if len(graph.shapes) == 1:
        graph.add("Identity", ["x"], graph.shapes["x"])
    names = [n for n in graph.shapes if n != "x"]
    extra = names[graph.integer(0, len(names) - 1)]
    outputs = [names[-1]]
    if extra != names[-1] and graph.rng.random() < 0.3:
        outputs.append(extra)
    return graph.model(outputs)


@st.composite
def random_models(draw, most_steps=8):
    """Hypothesis strategy of models made by :func:`random_model`."""
    steps = draw(
        st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=most_steps)
    )
    shape = draw(
        st.sampled_from([(3,), (6,), (2, 5), (1, 4, 4), (2, 4, 5), (1, 3, 3, 2)])
    )
    opset = draw(st.sampled_from([9, 11, 13, 17, 18, 21]))
    return random_model(steps, draw(st.integers(0, 2**20)), shape, opset)
