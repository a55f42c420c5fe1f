"""Nodes in words, and why a node is refused."""

import difflib

#: Operators with which masks are made.
_COMPARISONS = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}


def node_label(node):
    """A node's name, operator and first output."""
    out = next((n for n in node.output if n), "")
    node_name = f"node '{node.name}'" if node.name else "an unnamed node"
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{node_name} (operator {domain}{node.op_type}, output tensor '{out}')"


def not_piecewise_linear(node, data):
    """Why a node that reads ``data`` from the inputs is refused, and what to do."""
    mask = ""
    if node.op_type in _COMPARISONS:
        mask = (
            " Write activations made with a mask, such as where(x > 0, x, 0), as "
            "Relu, LeakyRelu, Clip, Max or Min."
        )
    return (
        f"it is not piecewise linear in '{data}', which depends on the "
        "network's inputs, or has no piecewise linear reading here. If the part "
        f"up to there is what you need, pass output='{data}' to load_onnx; "
        "otherwise train with ReLU activations, or teach the operator with "
        f"pyomo_relu.network.register_operator.{mask}"
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
