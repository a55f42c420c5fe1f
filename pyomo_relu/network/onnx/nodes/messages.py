"""Nodes in words, and why a node is refused."""

import difflib

#: Operators with countless jumps, or whose values are positions.
_JUMPING = {"ArgMax", "ArgMin", "Ceil", "Floor", "Hardmax", "Mod", "Round"}


def node_label(node):
    """A node's name, operator and first output."""
    out = next((n for n in node.output if n), "")
    node_name = f"node '{node.name}'" if node.name else "an unnamed node"
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{node_name} (operator {domain}{node.op_type}, output tensor '{out}')"


def not_piecewise_linear(node, data):
    """Why a node that reads ``data`` from the inputs is refused, and what to do."""
    jumps = ""
    if node.op_type in _JUMPING:
        jumps = " It jumps, which no continuous model follows."
    return (
        f"it is not piecewise linear in '{data}', which depends on the "
        "network's inputs, or has no piecewise linear reading here. If the part "
        f"up to there is what you need, pass output='{data}' to load_onnx; "
        "otherwise train with ReLU activations, or teach the operator with "
        f"pyomo_relu.network.register_operator.{jumps}"
    )


def unknown(node):
    """Why an operator that nobody knows is refused, and what to do."""
    origin = ""
    if node.domain.startswith("com.microsoft"):
        origin = (
            " onnxruntime writes it when it saves an optimised model: use the file "
            "from before the optimisation."
        )
    return (
        f"this operator is not known.{origin} Replace it by standard ONNX operators, or "
        "teach it with pyomo_relu.network.register_operator."
    )


def some(names, wanted, most=8):
    """The names nearest to the one that was wanted, quoted."""
    close = difflib.get_close_matches(wanted, names, n=most, cutoff=0.3)
    return ", ".join(f"'{n}'" for n in (close or names[:most]))
