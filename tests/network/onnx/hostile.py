"""Small models that ask for much: each name a kind, each value a way to build one."""

from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.network.onnx.graphs import build, node

_X = {"x": [1, 4]}


def _info(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def functions_that_double(depth=24, base="Relu"):
    """2^depth nodes in ``depth`` functions that call the one before twice."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    first = [node(base, ["a"], ["b"])]
    functions = [helper.make_function("f", "f0", ["a"], ["b"], first, imports)]
    for k in range(1, depth):
        calls = [
            helper.make_node(f"f{k - 1}", ["a"], ["c"], domain="f"),
            helper.make_node(f"f{k - 1}", ["c"], ["b"], domain="f"),
        ]
        functions.append(
            helper.make_function("f", f"f{k}", ["a"], ["b"], calls, imports)
        )
    call = helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="f")
    return _with_functions([call], functions, imports)


def calls_in_a_row(calls=100000):
    """Very many calls of one function, which onnxruntime inlines in quadratic time."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    body = [node("Identity", ["a"], ["b"])]
    function = helper.make_function("f", "g", ["a"], ["b"], body, imports)
    names = ["x", *(f"t{k}" for k in range(calls - 1)), "y"]
    nodes = [helper.make_node("g", [a], [b], domain="f") for a, b in pairwise(names)]
    return _with_functions(nodes, [function], imports)


def functions_in_a_row(depth=2000):
    """Each of ``depth`` functions calls the one before."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    first = [node("Relu", ["a"], ["b"])]
    functions = [helper.make_function("f", "f0", ["a"], ["b"], first, imports)]
    for k in range(1, depth):
        call = [helper.make_node(f"f{k - 1}", ["a"], ["b"], domain="f")]
        functions.append(
            helper.make_function("f", f"f{k}", ["a"], ["b"], call, imports)
        )
    call = helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="f")
    return _with_functions([call], functions, imports)


def functions_that_call_themselves():
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function(
            "f",
            a,
            ["a"],
            ["b"],
            [helper.make_node(b, ["a"], ["b"], domain="f")],
            imports,
        )
        for a, b in (("f0", "f1"), ("f1", "f0"))
    ]
    call = helper.make_node("f0", ["x"], ["y"], domain="f")
    return _with_functions([call], functions, imports)


def functions_with_data(calls=60000, entries=20000):
    """A function that holds a constant, called many times."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    tensor = numpy_helper.from_array(np.ones((entries, 4), np.float32), "w")
    body = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("ReduceMax", ["w"], ["m"], keepdims=0),
        helper.make_node("Add", ["a", "m"], ["b"]),
    ]
    function = helper.make_function("f", "g", ["a"], ["b"], body, imports)
    names = ["x", *(f"t{k}" for k in range(calls - 1)), "y"]
    nodes = [helper.make_node("g", [a], [b], domain="f") for a, b in pairwise(names)]
    return _with_functions(nodes, [function], imports)


def _with_functions(nodes, functions, imports):
    graph = helper.make_graph(nodes, "g", [_info("x", [1, 4])], [_info("y", [1, 4])])
    return helper.make_model(
        graph, opset_imports=imports, functions=functions, ir_version=9
    )


def branches_within_branches(depth=30):
    """If nodes nested as deep as a file can have them."""
    inner = helper.make_graph([node("Relu", ["x"], ["b0"])], "b", [], [_info("b0")])
    for k in range(1, depth):
        choice = node("If", ["c"], [f"b{k}"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([choice], "b", [], [_info(f"b{k}")])
        if inner.ByteSize() > 2**22:  # twice the size at each level
            break
    last = node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    return build([last], _X, ["y"], {"c": np.array(True)})


def branches_in_memory(depth=500):
    """Nested deeper than a file can have them, in memory only."""
    model = build([node("If", ["c"], ["y"])], _X, ["y"], {"c": np.array(True)})
    place = model.graph.node[0]
    for k in range(depth):
        attribute = place.attribute.add(name="then_branch", type=5)
        attribute.g.name = "b"
        place = attribute.g.node.add(op_type="If", input=["c"], output=[f"t{k}"])
    return model


def endless_loop():
    """A loop of 2^62 rounds on constants."""
    body = helper.make_graph(
        [
            node("Identity", ["k"], ["d"]),
            node("Identity", ["go"], ["again"]),
            node("Add", ["v", "one"], ["w"]),
        ],
        "body",
        [
            _info("n", [], TensorProto.INT64),
            _info("go", [], TensorProto.BOOL),
            _info("v", [1]),
        ],
        [_info("again", [], TensorProto.BOOL), _info("w", [1])],
    )
    body.node.pop(0)
    nodes = [
        node("Loop", ["m", "t", "one"], ["last"], body=body),
        node("Add", ["x", "last"], ["y"]),
    ]
    constants = {
        "m": np.array(2**62),
        "t": np.array(True),
        "one": np.ones(1, np.float32),
    }
    return build(nodes, _X, ["y"], constants)


def backtracking():
    """A regular expression that takes 2^34 steps on 35 letters."""
    nodes = [
        node("RegexFullMatch", ["s"], ["m"], pattern="(a+)+$"),
        node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        node("Add", ["x", "f"], ["y"]),
    ]
    model = build(nodes, _X, ["y"], opset=20, ir=9)
    text = helper.make_tensor("s", TensorProto.STRING, [1], [b"a" * 34 + b"b"])
    model.graph.initializer.append(text)
    return model


def large_layers(layers=12, width=8000):
    """Many layers that share one constant of 64 million entries."""
    nodes = [node("ConstantOfShape", ["s"], ["W"])]
    name = "x"
    for k in range(layers):
        nodes.append(node("MatMul", [name, "W"], [f"a{k}"]))
        nodes.append(node("Relu", [f"a{k}"], [f"h{k}"]))
        name = f"h{k}"
    nodes.append(node("ReduceSum", [name], ["y"]))
    fill = numpy_helper.from_array(np.float32([1e-4]), "v")
    nodes[0].attribute.append(helper.make_attribute("value", fill))
    return build(nodes, {"x": [1, width]}, ["y"], {"s": np.array([width, width])})


def _constants(kind, *inputs, count=40, constants=None, opset=17, **attributes):
    """``count`` constants of 2^25 entries or so, made by ``kind`` and added up."""

    def make():
        nodes, names = [], []
        for k in range(count):
            nodes.append(node(kind, list(inputs), [f"c{k}"], **attributes))
            nodes.append(node("Cast", [f"c{k}"], [f"d{k}"], to=TensorProto.FLOAT))
            nodes.append(node("ReduceMax", [f"d{k}"], [f"m{k}"], keepdims=0))
            names.append(f"m{k}")
        nodes.append(node("Sum", ["x", *names], ["y"]))
        return build(nodes, _X, ["y"], constants, opset=opset)

    return make


_MANY = np.array(2**12)
_SQUARE = np.array([2**13, 2**12])
_TENSORS = {
    "ConstantOfShape": _constants("ConstantOfShape", "s", constants={"s": _SQUARE}),
    "Expand": _constants(
        "Expand", "a", "s", constants={"s": _SQUARE, "a": np.ones((1, 1))}
    ),
    "Tile": _constants(
        "Tile", "a", "s", constants={"s": _SQUARE, "a": np.ones((1, 1))}
    ),
    "Pad": _constants(
        "Pad", "a", "s", constants={"s": np.array([0, 2**25]), "a": np.ones(1)}
    ),
    "Range": _constants(
        "Range",
        "a",
        "b",
        "d",
        constants={"a": np.array(0.0), "b": np.array(2.0**25), "d": np.array(1.0)},
    ),
    "OneHot": _constants(
        "OneHot",
        "i",
        "n",
        "v",
        constants={
            "i": np.arange(2**12),
            "n": np.array(2**13),
            "v": np.array([0.0, 1.0]),
        },
    ),
    "Resize": _constants(
        "Resize",
        "a",
        "",
        "s",
        constants={"a": np.ones((1, 1)), "s": np.float32([2**13, 2**12])},
    ),
    "Gather": _constants(
        "Gather",
        "a",
        "i",
        constants={"a": np.ones((1, 2**13)), "i": np.zeros(2**12, int)},
    ),
    "MatMul": _constants(
        "MatMul",
        "a",
        "b",
        constants={"a": np.ones((2**13, 1)), "b": np.ones((1, 2**12))},
    ),
    "Add": _constants(
        "Add", "a", "b", constants={"a": np.ones((2**13, 1)), "b": np.ones((1, 2**12))}
    ),
    "ConvTranspose": _constants(
        "ConvTranspose",
        "a",
        "w",
        constants={"a": np.ones((1, 1, 2)), "w": np.ones((1, 1, 1))},
        strides=[2**25],
    ),
    "CenterCropPad": _constants(
        "CenterCropPad",
        "a",
        "s",
        opset=18,
        constants={"a": np.ones((1, 1)), "s": _SQUARE},
    ),
}


def einsum_without_end():
    nodes = [
        node("Einsum", ["a"] * 6, ["e"], equation="a,b,c,d,e,f->"),
        node("Add", ["x", "e"], ["y"]),
    ]
    return build(nodes, _X, ["y"], {"a": np.ones(2**10)})


def eye_like():
    nodes = [
        node("ConstantOfShape", ["s"], ["c"]),
        node("EyeLike", ["c"], ["e"]),
        node("EyeLike", ["e"], ["f"]),
        node("EyeLike", ["f"], ["g"]),
        node("ReduceMax", ["g"], ["m"], keepdims=0),
        node("Add", ["x", "m"], ["y"]),
    ]
    return build(nodes, _X, ["y"], {"s": np.array([5000, 5000])})


def sparse_constants(count=40):
    """Sparse initializers with two entries and a large shape each."""
    nodes, names = [], []
    model = build([], _X, ["y"])
    for k in range(count):
        values = numpy_helper.from_array(np.float32([1.0, 2.0]), f"w{k}")
        indices = numpy_helper.from_array(np.array([0, 5]), "")
        entry = model.graph.sparse_initializer.add(dims=[2**25])
        entry.values.CopyFrom(values)
        entry.indices.CopyFrom(indices)
        nodes.append(node("ReduceMax", [f"w{k}"], [f"m{k}"], keepdims=0))
        names.append(f"m{k}")
    model.graph.node.extend([*nodes, node("Sum", ["x", *names], ["y"])])
    return model


def wide_input(n):
    return build([node("Relu", ["x"], ["y"])], {"x": [1, n]}, ["y"])


def summed_input(n=2**22):
    nodes = [node("Relu", ["x"], ["h"]), node("ReduceSum", ["h"], ["y"])]
    return build(nodes, {"x": [1, n]}, ["y"])


def tiled_input():
    """A matrix of 2^22 rows that read one input."""
    nodes = [node("Expand", ["x", "s"], ["e"]), node("Relu", ["e"], ["y"])]
    return build(nodes, {"x": [1, 1]}, ["y"], {"s": np.array([1, 2**22])})


def dense_expansion():
    """Dense weights of 2000 columns, repeated 2^18 times."""
    w = np.random.default_rng(0).standard_normal((500, 1))
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Tile", ["a", "s"], ["t"]),
        node("Relu", ["t"], ["y"]),
    ]
    return build(nodes, {"x": [1, 500]}, ["y"], {"w": w, "s": np.array([1, 2**20])})


def resized_input():
    nodes = [node("Resize", ["x", "", "s"], ["r"], mode="linear")]
    nodes.append(node("Relu", ["r"], ["y"]))
    return build(nodes, {"x": [1, 40000]}, ["y"], {"s": np.float32([1.0, 2.0])})


def pooled_input():
    nodes = [node("MaxPool", ["x"], ["y"], kernel_shape=[64, 64])]
    return build(nodes, {"x": [1, 1, 400, 400]}, ["y"])


def convolved_input():
    w = np.ones((64, 64, 3, 3))
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])]
    return build(nodes, {"x": [1, 64, 60, 60]}, ["y"], {"w": w})


def summed_along(n=2**16):
    """CumSum, whose matrix is triangular and read off column by column."""
    nodes = [node("CumSum", ["x", "a"], ["y"])]
    return build(nodes, {"x": [1, n]}, ["y"], {"a": np.array(1)})


def chain(count, kind="Identity", width=2):
    """``count`` nodes of one kind, one after the other."""
    names = ["x", *(f"t{k}" for k in range(count - 1)), "y"]
    extra = ["w"] if kind in ("Add", "Mul") else []
    nodes = [node(kind, [a, *extra], [b]) for a, b in pairwise(names)]
    return build(nodes, {"x": [1, width]}, ["y"], {"w": np.ones(width)})


def residuals(count=3000, width=4):
    """Each layer adds to all before: as many sources as layers."""
    w = np.random.default_rng(0).standard_normal((width, width)) / width
    nodes, name = [], "x"
    for k in range(count):
        nodes.append(node("MatMul", [name, "w"], [f"a{k}"]))
        nodes.append(node("Relu", [f"a{k}"], [f"h{k}"]))
        nodes.append(node("Add", [name, f"h{k}"], [f"s{k}"]))
        name = f"s{k}"
    nodes.append(node("Identity", [name], ["y"]))
    return build(nodes, {"x": [1, width]}, ["y"], {"w": w})


def masks_of_many_thresholds(count=30, n=2**16):
    """Masks of one wide tensor, added up: each sum has all thresholds so far."""
    nodes, constants = [], {}
    for k in range(count):
        constants[f"t{k}"] = np.array(float(k))
        nodes.append(node("Greater", ["x", f"t{k}"], [f"m{k}"]))
        nodes.append(node("Cast", [f"m{k}"], [f"c{k}"], to=TensorProto.FLOAT))
        before = f"s{k - 1}" if k else "x"
        nodes.append(node("Add", [before, f"c{k}"], [f"s{k}"]))
    return build(nodes, {"x": [1, n]}, [f"s{count - 1}"], constants)


def recurrent(activation, steps=2**16, width=128):
    """An RNN of many steps with weights that they share."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((1, width, 1)),
        "r": 0.1 * rng.standard_normal((1, width, width)),
    }
    options = {"activations": [activation], "hidden_size": width}
    nodes = [node("RNN", ["x", "w", "r"], ["h", "y"], **options)]
    return build(nodes, {"x": [steps, 1, 1]}, ["y"], constants)


def sorted_input(groups=2**14, n=64):
    nodes = [node("TopK", ["x", "k"], ["y", "i"])]
    return build(nodes, {"x": [groups, n]}, ["y"], {"k": np.array([n])})


def unread_constants():
    """Giant constants and an endless loop that no output depends on."""
    model = endless_loop()
    model.graph.node[1].CopyFrom(node("Relu", ["x"], ["y"]))
    model.graph.node.append(node("ConstantOfShape", ["s"], ["huge"]))
    shape = numpy_helper.from_array(np.array([2**20, 2**20]), "s")
    model.graph.initializer.append(shape)
    return model


def branch_not_taken():
    """A giant constant in the branch that is not taken."""
    taken = helper.make_graph([node("Relu", ["x"], ["a"])], "t", [], [_info("a")])
    other = helper.make_graph(
        [
            node("ConstantOfShape", ["s"], ["huge"]),
            node("ReduceMax", ["huge"], ["m"], keepdims=0),
            node("Add", ["x", "m"], ["b"]),
        ],
        "e",
        [],
        [_info("b")],
    )
    nodes = [node("If", ["c"], ["y"], then_branch=taken, else_branch=other)]
    constants = {"c": np.array(True), "s": np.array([2**17, 2**16])}
    return build(nodes, _X, ["y"], constants)


def many_attributes(count=40000):
    """A node with very many attributes."""
    model = build([node("LeakyRelu", ["x"], ["y"])], _X, ["y"])
    attributes = model.graph.node[0].attribute
    for k in range(count):
        attributes.add(name=f"a{k}", type=1, f=0.5)
    return model


HOSTILE = {
    "functions_that_double": functions_that_double,
    "functions_that_double_less": lambda: functions_that_double(16, "Identity"),
    "functions_in_a_row": functions_in_a_row,
    "calls_in_a_row": calls_in_a_row,
    "functions_that_call_themselves": functions_that_call_themselves,
    "functions_with_data": functions_with_data,
    "branches_within_branches": branches_within_branches,
    "branches_in_memory": branches_in_memory,
    "endless_loop": endless_loop,
    "backtracking": backtracking,
    "large_layers": large_layers,
    **{f"constants_{kind}": make for kind, make in _TENSORS.items()},
    "einsum_without_end": einsum_without_end,
    "eye_like": eye_like,
    "sparse_constants": sparse_constants,
    "wide_input_2^20": lambda: wide_input(2**20),
    "wide_input_2^23": lambda: wide_input(2**23),
    "wide_input_2^25": lambda: wide_input(2**25),
    "summed_input": summed_input,
    "tiled_input": tiled_input,
    "dense_expansion": dense_expansion,
    "resized_input": resized_input,
    "pooled_input": pooled_input,
    "convolved_input": convolved_input,
    "summed_along": summed_along,
    "chain_of_identities": lambda: chain(100000),
    "chain_of_additions": lambda: chain(100000, "Add"),
    "chain_of_wide_additions": lambda: chain(5000, "Add", 20000),
    "chain_of_relus": lambda: chain(10000, "Relu"),
    "residuals": residuals,
    "masks_of_many_thresholds": masks_of_many_thresholds,
    "recurrent_with_neurons": lambda: recurrent("Relu"),
    "recurrent_without_neurons": lambda: recurrent("Affine"),
    "sorted_input": sorted_input,
    "unread_constants": unread_constants,
    "branch_not_taken": branch_not_taken,
    "many_attributes": many_attributes,
}
