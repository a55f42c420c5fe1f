"""Rewritings of ONNX models that keep what they compute; no test logic here."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.network.onnx.graph.branches import names_read
from pyomo_relu.network.onnx.graph.functions import model_nodes
from pyomo_relu.network.onnx.nodes.evaluation import least_inputs
from tests.versions import TAKES_BRANCHES_BESIDE_FUNCTIONS

#: Names given inside every function and branch, so that they clash wherever they can.
INNER = ["a", "b", "c", "d", "e", "f", "g"]

#: Standard operators whose names functions borrow.
BORROWED = ["Relu", "Add", "Gemm", "LeakyRelu", "Identity", "Softmax"]


class Disguise:
    """One model and the random choices made on it."""

    def __init__(self, model, rng):
        self.model, self.rng, self.count = onnx.ModelProto(), rng, 0
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.opset = next(o.version for o in model.opset_import if not o.domain)

    def name(self):
        self.count += 1
        return f"disguise{self.count}"

    def chance(self, p=0.5):
        return self.rng.random() < p

    def any(self, items):
        items = list(items)
        return items[self.rng.integers(len(items))] if items else None

    def node(self):
        """Position of some node, or None."""
        return self.any(range(len(self.graph.node)))

    def replace(self, k, nodes):
        """Put nodes in the place of node k."""
        every = [*self.graph.node]
        every[k : k + 1] = nodes
        every = [type(n).FromString(n.SerializeToString()) for n in every]
        del self.graph.node[:]
        self.graph.node.extend(every)

    def initializer(self, array):
        """Name of a new constant."""
        name = self.name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def imports(self, domain, version=1):
        if all(o.domain != domain for o in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(domain, version))


def _copy(node):
    """A copy; inner graphs and functions know the standard domain by one name only."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.domain = "" if copy.domain == "ai.onnx" else copy.domain
    return copy


def shuffled(d):
    """Nodes in any order."""
    every = [type(n).FromString(n.SerializeToString()) for n in d.graph.node]
    del d.graph.node[:]
    d.graph.node.extend(every[i] for i in d.rng.permutation(len(every)))


def as_function(d):
    """A node as a call of a function, its attributes given, referred to or defaults."""
    k = d.node()
    if k is None:
        return
    inside = _copy(d.graph.node[k])
    nested = any(a.HasField("g") for a in inside.attribute)
    inputs = list(dict.fromkeys(names_read(inside)))
    if nested or len(inputs) + len(inside.output) > len(INNER):
        formal = inputs  # names in inner graphs would have to change too
        results = [f"result{i}" for i in range(len(inside.output))]
    else:
        letters = [str(n) for n in d.rng.permutation(INNER)]
        formal, results = letters[: len(inputs)], letters[len(inputs) :]
        known = dict(zip(inputs, formal, strict=True))
        inside.input[:] = [known.get(n, "") for n in inside.input]
    outputs = list(inside.output)
    inside.output[:] = results[: len(outputs)]
    given, defaults = [], []
    for i, attribute in enumerate([*inside.attribute]):
        how = d.rng.integers(4)
        if how == 0 or attribute.HasField("g"):
            continue
        value = onnx.AttributeProto()
        value.CopyFrom(attribute)
        value.name = f"p{i}" if d.chance() else attribute.name
        inside.attribute[i].CopyFrom(
            onnx.AttributeProto(
                name=attribute.name, ref_attr_name=value.name, type=attribute.type
            )
        )
        if how == 1:  # only the default
            defaults.append(value)
        elif how == 2:
            given.append(value)
        else:  # a default that the call overrides
            given.append(value)
            if value.type == onnx.AttributeProto.FLOAT:
                defaults.append(helper.make_attribute(value.name, 77.0))
    body = [inside]
    if formal and d.chance(0.3):  # one that nothing depends on
        body.append(helper.make_node("Identity", [formal[0]], ["unread"]))
    domain = d.any(["local", "other"])
    function = helper.make_function(
        domain,
        d.any(BORROWED) if d.chance() else d.name(),
        formal,
        list(inside.output),
        body,
        list(d.model.opset_import),
        [v.name for v in given if v.name not in {x.name for x in defaults}],
    )
    function.attribute_proto.extend(defaults)
    known = {(f.domain, f.name, f.overload) for f in d.model.functions}
    while (domain, function.name, function.overload) in known:
        function.overload = d.name()
        d.model.ir_version = max(d.model.ir_version, 10)
    call = helper.make_node(function.name, inputs, outputs, domain=domain)
    call.overload = function.overload
    call.attribute.extend(given)
    d.imports(domain)
    d.model.functions.append(function)
    for f in d.model.functions:
        if all(o.domain != domain for o in f.opset_import):
            f.opset_import.append(helper.make_opsetid(domain, 1))
    d.replace(k, [call])


def in_branch(d):
    """A node in a branch of an If whose condition is constant; names shadow others."""
    k = d.node()
    if k is None or d.opset < 11:
        return
    inside = _copy(d.graph.node[k])
    if len(inside.output) != 1 or not inside.input:
        return
    output, constants = inside.output[0], []
    free = [n for n in INNER if n not in set(names_read(inside))]
    if not free:
        return
    inside.output[0] = d.any(free)
    free.remove(inside.output[0])
    known = {t.name: t for t in d.graph.initializer}
    for i, name in enumerate(inside.input):
        if name in known and d.chance(0.6) and not _has_graphs(inside):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(known[name])
            others = [n for n in known if n not in inside.input and n != output]
            shadowed = d.any(others) if others and d.chance() else d.any(free)
            if shadowed is None or shadowed in [c.name for c in constants]:
                continue
            tensor.name = shadowed
            inside.input[i] = shadowed
            constants.append(tensor)
    value = onnx.ValueInfoProto(name=inside.output[0])
    taken = helper.make_graph([inside], "taken", [], [value])
    for tensor in constants:
        _keep(d, taken, tensor)
    data = next(n for n in names_read(d.graph.node[k]))
    other = helper.make_graph(
        [helper.make_node("Identity", [data], ["x1"])],
        "other",
        [],
        [onnx.ValueInfoProto(name="x1")],
    )
    condition, wanted = d.chance(), True
    name = d.initializer(np.array(condition))
    extra = []
    if d.chance(0.3):
        extra = [helper.make_node("Not", [name], [d.name()])]
        name, wanted = extra[0].output[0], False
    first, second = (taken, other) if condition == wanted else (other, taken)
    branch = helper.make_node(
        "If", [name], [output], then_branch=first, else_branch=second
    )
    d.replace(k, [*extra, branch])


def _has_graphs(node):
    return any(a.HasField("g") for a in node.attribute)


def _keep(d, graph, tensor):
    """Store a constant in a graph, as initializer, sparse initializer or node."""
    array = numpy_helper.to_array(tensor)
    how = d.rng.integers(3)
    if how == 0 and array.dtype == np.float32 and array.ndim in (1, 2):
        flat = np.flatnonzero(array)
        values = numpy_helper.from_array(array.reshape(-1)[flat], tensor.name)
        indices = numpy_helper.from_array(flat.astype(np.int64), "")
        graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, indices, list(array.shape))
        )
    elif how == 1:
        constant = helper.make_node("Constant", [], [tensor.name], value=tensor)
        graph.node.insert(0, constant)
    else:
        graph.initializer.append(tensor)


def constant_kept_otherwise(d):
    """An initializer as Constant node or as sparse initializer."""
    tensor = d.any(t for t in d.graph.initializer if t.raw_data)
    if tensor is None:
        return
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    d.graph.initializer.remove(tensor)
    _keep(d, d.graph, copy)


def identity_before(d):
    """An Identity in front of some node's input."""
    k = d.node()
    if k is None or not d.graph.node[k].input:
        return
    i = d.any(range(len(d.graph.node[k].input)))
    before = d.graph.node[k].input[i]
    if not before:
        return
    after = d.name()
    d.graph.node[k].input[i] = after
    d.graph.node.append(helper.make_node("Identity", [before], [after]))


def stripped(d):
    """Outputs without types, no name of the graph."""
    for value in d.graph.output:
        value.ClearField("type")
    d.graph.name = "" if d.chance() else "g"
    d.graph.value_info.append(onnx.ValueInfoProto(name=d.graph.output[0].name))


def older(d):
    """An IR version that wanted initializers among the inputs, all of them read."""
    if d.model.functions:
        return
    d.model.ir_version = 3
    read = {n for node in d.graph.node for n in names_read(node)}
    kept = [t for t in d.graph.initializer if t.name in read]
    del d.graph.initializer[:]
    d.graph.initializer.extend(kept)


def two_domains(d):
    """Some nodes in "ai.onnx"; an older opset imported before the right one."""
    for node in d.graph.node:
        if not node.domain and d.chance():
            node.domain = "ai.onnx"
    if d.chance():
        imports = [(o.domain, o.version) for o in d.model.opset_import]
        del d.model.opset_import[:]
        d.model.opset_import.extend(
            helper.make_opsetid(*i) for i in [("ai.onnx", 7), *imports]
        )


def unused(d):
    """Things that no output depends on."""
    kind = d.rng.integers(6)
    if kind == 0:
        d.graph.initializer.add(name=d.name(), data_type=1, dims=[3])  # without data
    elif kind == 1:
        x = d.graph.input[0].name
        d.graph.node.append(helper.make_node("Sigmoid", [x], [d.name()]))
    elif kind == 2:
        body = [helper.make_node("Neg", ["a"], ["b"])]
        opset = helper.make_opsetid("", d.opset)
        name = d.any(BORROWED)  # the operator of that name is meant
        if all((f.domain, f.name) != ("", name) for f in d.model.functions):
            d.model.functions.append(
                helper.make_function("", name, ["a"], ["b"], body, [opset])
            )
    elif kind == 3:
        d.model.metadata_props.add(key="k", value="v")
        d.model.training_info.add()
    elif kind == 4:
        d.graph.input.append(
            helper.make_tensor_value_info(d.name(), TensorProto.STRING, ["N", 2])
        )
    else:
        name = d.name()
        for value in (55.0, 66.0):
            d.graph.initializer.append(
                numpy_helper.from_array(np.float32([value]), name)
            )


DISGUISES = {
    f.__name__: f
    for f in (
        shuffled,
        as_function,
        in_branch,
        constant_kept_otherwise,
        identity_before,
        stripped,
        older,
        two_domains,
        unused,
    )
}


def disguised(model, names, seed):
    """The model after the rewritings ``names`` (keys of DISGUISES) in turn."""
    d = Disguise(model, np.random.default_rng(seed))
    for name in names:
        DISGUISES[name](d)
    return d.model


def with_external_data(model, folder, seed=0):
    """Save the model with some of its initializers in another file; its path."""
    rng = np.random.default_rng(seed)
    copy, data = onnx.ModelProto(), b"\xff" * 8
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.raw_data and rng.random() < 0.7:
            for key, value in (
                ("location", "weights.bin"),
                ("offset", len(data)),
                ("length", len(tensor.raw_data)),
            ):
                tensor.external_data.add(key=key, value=str(value))
            tensor.data_location = TensorProto.EXTERNAL
            data += tensor.raw_data
            tensor.ClearField("raw_data")
    (folder / "weights.bin").write_bytes(data)
    path = folder / "net.onnx"
    path.write_bytes(copy.SerializeToString())
    return path


def ends_onnxruntime(model):
    """Whether onnxruntime aborts the process on it (see ``verification.runner``).

    It does so on functions named like operators that have more inputs (1.32 on few of
    them, 1.23 on more), those up to 1.26 also on some branches beside functions.
    """
    nodes = list(model_nodes(model))
    branched = any(n.op_type == "If" for n in nodes)
    if branched and model.functions and not TAKES_BRANCHES_BESIDE_FUNCTIONS:
        return True
    return any(len(n.input) < least_inputs(n.op_type) for n in nodes)
