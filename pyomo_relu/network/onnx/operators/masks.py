"""Comparisons, signs and masks, and what other operators do to them.

``where(z > 0, z, a z)``, ``z (z > 0)``, ``z sign(z)`` and their like: an operator acts on
each law of a :class:`~pyomo_relu.network.onnx.tensors.piecewise_tensors.PiecewiseTensor` by itself, and what
is continuous in the end becomes neurons.
"""

import math

import numpy as np

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network.onnx.nodes.evaluation import is_float
from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.multiples import has_coefficients
from pyomo_relu.network.onnx.tensors.piecewise_tensors import (
    MAX_BREAKS,
    Jump,
    PiecewiseTensor,
    affine,
    joined,
    union,
)
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor
from pyomo_relu.network.onnx.tensors.univariate import Rewriting, arguments_of

#: Values of ``v ? t`` below, at and above the threshold t.
_COMPARISONS = {
    "Equal": (False, True, False),
    "Greater": (False, False, True),
    "GreaterOrEqual": (False, True, True),
    "Less": (True, False, False),
    "LessOrEqual": (True, True, False),
}

#: Operators that act entry by entry, also on affine laws.
_ENTRYWISE = {
    *("Add", "Cast", "CastLike", "Div", "Dropout", "Identity", "Mean", "Mul", "Neg"),
    *("Pow", "Sub", "Sum", "Where"),
}

#: Operators that act entry by entry, used on laws that are constants only.
_ON_CONSTANTS = {
    *_COMPARISONS,
    *("Abs", "And", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil"),
    *("Clip", "Exp", "Floor", "IsInf", "IsNaN", "LeakyRelu", "Max", "Min", "Mod"),
    *("Not", "Or", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sqrt", "Tanh"),
    "Xor",
}

#: Operators that only move entries, and which of their inputs they move.
_MOVES = {
    **dict.fromkeys(
        (
            *("CenterCropPad", "Compress", "DepthToSpace", "Expand", "Flatten"),
            *("Gather", "GatherElements", "GatherND", "Reshape", "ReverseSequence"),
            *("Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose"),
            *("Trilu", "Unsqueeze"),
        ),
        (0,),
    ),
    "Concat": range(2**31),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "Where": (1, 2),
}

#: What to do about a jump.
REMEDY = (
    "No continuous model follows a jump. Make the two sides meet at the threshold, use "
    "Relu, LeakyRelu, Clip, Max, Min or a soft threshold instead"
)


@operator(*_COMPARISONS)
def compare(operation, a, b):
    """The mask of ``a ? b``, a step at a = b."""
    below, at, above = _COMPARISONS[operation.op_type]
    if not isinstance(a, AffineTensor):
        a, b, below, above = b, a, above, below
    if isinstance(b, AffineTensor):
        a, b = a - b, 0.0
    if np.any(np.isnan(b)):
        operation.refuse("it compares with NaN. Export the network again.")
    shape = np.broadcast_shapes(a.shape, np.shape(b))
    threshold = np.broadcast_to(b, shape)
    name = next(n for n in operation.node.input if operation.is_affine(n))
    return PiecewiseTensor.stepping(
        a.broadcast_to(shape), threshold, (below, at, above), operation.origin(name)
    )


@operator("Sign")
def sign(operation, x):
    """-1 below 0, 0 at 0, 1 above."""
    origin = operation.origin(operation.input_name(0))
    return PiecewiseTensor.stepping(x, 0.0, (-1.0, 0.0, 1.0), origin)


@operator("IsNaN", "IsInf")
def is_not_a_number(operation, x):
    """False: a network's tensors are finite numbers."""
    return np.zeros(x.shape, dtype=bool)


# -- operators on masks ------------------------------------------------------------


class MaskAlgebra:
    """Applies operators to arguments some of which are piecewise tensors.

    Parameters
    ----------
    builder : LayerBuilder
    """

    def __init__(self, builder):
        self.builder = builder

    def apply(self, operation, handler, arguments):
        """The operator's values; a continuous one is an affine tensor."""
        standard = operation.node.domain in ("", "ai.onnx")
        kind = operation.op_type if standard else ""
        if kind in _MOVES and not isinstance(arguments[0], _condition(kind)):
            return _moved(operation, handler, arguments, _MOVES[kind])
        if kind in ("Shape", "Size"):
            return handler(operation, *arguments)
        constant = not any(isinstance(a, AffineTensor) for a in arguments) and all(
            a.is_constant for a in arguments if isinstance(a, PiecewiseTensor)
        )
        if kind in _ENTRYWISE or (constant and kind in _ON_CONSTANTS):
            value = self._entrywise(operation, handler, arguments)
            if not isinstance(value, PiecewiseTensor):
                return value
            return self._continuous(value, operation) or value
        settled = [
            self.settle(a, operation) if isinstance(a, PiecewiseTensor) else a
            for a in arguments
        ]
        if handler is None:
            operation.refuse_unread()
        return handler(operation, *settled)

    def settle(self, tensor, operation=None, dtype=np.float32, label=""):
        """The tensor as an affine one.

        Raises
        ------
        UnsupportedOperatorError
            If it jumps, naming the node that made it, the threshold and the height.
        """
        if operation is not None:
            dtype, label = operation.float_dtype(), operation.label()
        result = self._settled(tensor, rounding(dtype), label)
        if isinstance(result, Jump):
            raise UnsupportedOperatorError(_describe(tensor, result))
        floats = not isinstance(result, np.ndarray) or is_float(result.dtype)
        return affine(result) if floats else result

    def output(self, tensor, dtype, name):
        """The tensor, an output of the network, as an affine one."""
        if not is_float(dtype):
            raise UnsupportedOperatorError(
                f"{tensor.maker} is an output of type {dtype}, which jumps. Pass "
                f"output='{tensor.origins[0].tensor}' to load_onnx."
            )
        return self.settle(tensor, dtype=dtype, label=name)

    def _settled(self, tensor, tolerance, label):
        """The tensor as an affine one (an array if it is constant), or its jump."""
        value = self._meeting(tensor, tolerance, label)
        if tensor.is_constant and not isinstance(value, Jump):
            return value.offset.reshape(tensor.shape).astype(tensor.cells[0].dtype)
        return value

    def _meeting(self, tensor, tolerance, label):
        first = joined(tensor, self.builder, tolerance, label)
        if not isinstance(first, Jump):
            return first
        rewriting = Rewriting(self.builder, tolerance)
        for scalars in (tensor.base, *arguments_of(tensor.base, self.builder)):
            other = tensor
            if scalars is not tensor.base:
                other = rewriting.rebased(tensor, scalars)
            if other is not None:
                other = rewriting.rewritten(other)
            if other is not None:
                result = joined(other, self.builder, tolerance, label)
                if not isinstance(result, Jump):
                    return result
                if np.isnan(first.height):
                    first = first._replace(height=result.height)
        return first

    def _continuous(self, value, operation):
        """The value as an affine tensor if its laws meet as they stand, else None."""
        if not is_float(operation.output_dtype()):
            return None
        tolerance = rounding(operation.float_dtype())
        result = joined(value, self.builder, tolerance, operation.label())
        return None if isinstance(result, Jump) else result

    def _entrywise(self, operation, handler, arguments):
        """The operator on each cell's laws, over common thresholds."""
        shape = np.broadcast_shapes(*(np.shape(a) for a in arguments if a is not None))
        arguments = [
            a.broadcast_to(shape) if isinstance(a, PiecewiseTensor) else a
            for a in arguments
        ]
        arguments = self._aligned(operation, arguments)
        masks = [a for a in arguments if isinstance(a, PiecewiseTensor)]
        if not masks:
            return _on_laws(operation, handler, arguments)
        cells = [
            _on_laws(
                operation,
                handler,
                [
                    a.cells[k] if isinstance(a, PiecewiseTensor) else a
                    for a in arguments
                ],
            )
            for k in range(len(masks[0].cells))
        ]
        origins = dict.fromkeys(o for m in masks for o in m.origins)
        return PiecewiseTensor(masks[0].base, masks[0].breaks, cells, origins)

    def _aligned(self, operation, arguments):
        """The arguments with all piecewise ones over the same scalars and breaks."""
        tolerance = rounding(operation.float_dtype())
        rewriting = Rewriting(self.builder, tolerance)
        masks = [a for a in arguments if isinstance(a, PiecewiseTensor)]
        for scalars in self._scalars(masks):
            over = [
                m if _same(m.base, scalars) else rewriting.rebased(m, scalars)
                for m in masks
            ]
            if any(m is None for m in over):
                continue
            breaks = union(*(m.breaks for m in over))
            if len(breaks) > MAX_BREAKS:
                operation.refuse(
                    f"its masks change at more than {MAX_BREAKS} thresholds of one "
                    "tensor. Use Relu, Clip, Max or Min instead."
                )
            rest = iter([m.on(breaks) for m in over])
            return [
                next(rest) if isinstance(a, PiecewiseTensor) else a for a in arguments
            ]
        return self._one_less(operation, arguments, tolerance)

    def _scalars(self, masks):
        """Scalars over which all masks may be written."""
        if all(_same(m.base, masks[0].base) for m in masks):
            yield masks[0].base
            return
        for m in masks:
            yield _completed(m.base, masks)
        for m in masks:
            for scalars in arguments_of(m.base, self.builder):
                yield _completed(scalars, masks)

    def _one_less(self, operation, arguments, tolerance):
        """Masks of different scalars: one that is continuous is no mask any more."""
        masks = [a for a in arguments if isinstance(a, PiecewiseTensor)]
        for m in masks:
            value = self._settled(m, tolerance, operation.label())
            if not isinstance(value, Jump):
                rest = [value if a is m else a for a in arguments]
                if len(masks) == 1:
                    return rest
                return self._aligned(operation, rest)
        makers = " and ".join(dict.fromkeys(o.node for m in masks for o in m.origins))
        operation.refuse(
            f"it joins masks of different tensors ({makers}), each of which jumps. "
            f"{REMEDY}."
        )


def _on_laws(operation, handler, laws):
    """The operator's first value on affine tensors and constants."""
    bent = any(isinstance(a, AffineTensor) for a in laws)
    if handler is None or not (bent or operation.op_type in ("Cast", "CastLike")):
        return operation.evaluate(*laws)[0]
    value = handler(operation, *laws)
    return value[0] if isinstance(value, tuple) else value


def rounding(dtype):
    """Relative error within which laws count as equal.

    A few units in the last place of the file's type (float32 for float16 too), in which
    the file itself cannot tell the laws apart.
    """
    eps = min(np.finfo(dtype).eps, np.finfo(np.float32).eps)
    return max(4 * float(eps), 16 * float(np.finfo(float).eps))


def _condition(kind):
    """Where moves entries unless its condition is a mask."""
    return PiecewiseTensor if kind == "Where" else ()


def _same(a, b):
    return a is b or (a.terms is b.terms and a.offset is b.offset)


def _completed(scalars, masks):
    """``scalars`` with those of the masks where it has no coefficients."""
    for m in masks:
        free = ~has_coefficients(scalars)
        if np.any(free):
            base = m.base.reshape(scalars.shape).scale(free.astype(float))
            scalars = scalars.scale((~free).astype(float)) + base
    return scalars


def _moved(operation, handler, arguments, data):
    """Move the scalars, the thresholds and the laws alike."""
    masks = [a for a in arguments if isinstance(a, PiecewiseTensor)]
    count = max(len(m.breaks) for m in masks)
    for m in masks:
        for shape in operation.shapes.values():
            m.reserve(math.prod(shape), count)
    arguments = [_padded(a, count) for a in arguments]

    def move(field, other):
        values = []
        for k, a in enumerate(arguments):
            if isinstance(a, PiecewiseTensor):
                a = AffineTensor.constant(0) if a is None else field(a)
            elif k in data and a is not None:
                a = other(a)
            values.append(a)
        moved = handler(operation, *values)
        return moved if isinstance(moved, (tuple, list)) else (moved,)

    def row(k):
        return move(
            lambda m: AffineTensor.constant(m.breaks[k].reshape(m.shape)),
            lambda a: AffineTensor.constant(np.full(a.shape, np.inf)),
        )

    bases = move(lambda m: m.base, lambda a: AffineTensor.constant(np.zeros(a.shape)))
    breaks = [row(k) for k in range(count)]
    cells = [
        move(lambda m, k=k: affine(m.cells[k]), affine) for k in range(2 * count + 1)
    ]
    kinds = {a.dtype for m in masks for a in m.cells if isinstance(a, np.ndarray)}
    constant = all(m.is_constant for m in masks) and len(kinds) == 1
    origins = tuple(dict.fromkeys(o for m in masks for o in m.origins))
    results = []
    for out, base in enumerate(bases):
        laws = [c[out] for c in cells]
        if constant and not any(c.terms for c in laws):
            laws = [c.offset.reshape(c.shape).astype(*kinds) for c in laws]
        rows = np.array([b[out].offset for b in breaks]).reshape(count, base.size)
        results.append(PiecewiseTensor(base, rows, laws, origins))
    return tuple(results)


def _padded(argument, count):
    """Further thresholds at infinity, behind which the last law goes on."""
    if not isinstance(argument, PiecewiseTensor):
        return argument
    more = count - len(argument.breaks)
    breaks = np.vstack([argument.breaks, np.full((more, argument.size), np.inf)])
    cells = [*argument.cells, *([argument.cells[-1]] * (2 * more))]
    return PiecewiseTensor(argument.base, breaks, cells, argument.origins)


def _describe(tensor, jump):
    names = list(dict.fromkeys(o.tensor for o in tensor.origins))
    jumps = f"jumps by {abs(jump.height):.6g}"
    if np.isnan(jump.height):
        jumps = "jumps (or is not seen to be continuous) by an amount that varies"
    return (
        f"{tensor.maker} {jumps} where {' and '.join(map(repr, names))} crosses the "
        f"threshold {jump.threshold:.6g} (entry {jump.entry}), by the mask of "
        f"{' and of '.join(dict.fromkeys(o.node for o in tensor.origins))}. {REMEDY}, "
        f"or pass output='{names[0]}' to load_onnx."
    )
