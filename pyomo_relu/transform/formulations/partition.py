r"""relu.partition: the weighted sum of an unstable neuron is split into P parts.

A neuron ``x = max(0, v)`` with ``v = sum_j w_j t_j + b`` over all its sources' entries
t and z = 1 if it is active.  The terms are split into parts S_1, ..., S_P with sums
``s_p = sum_{j in S_p} w_j t_j`` in ``[l_p, u_p]``; ``a_p`` stands for ``z s_p``::

    l_p z <= a_p <= u_p z           l_p (1 - z) <= s_p - a_p <= u_p (1 - z)
    x = sum_p a_p + b z             x >= v          x >= 0

One part is ``relu.bigm``; one part per term is the convex hull of the neuron over the
box of its sources.  The last part's two quantities are eliminated,
``s_P = v - b - sum_{p<P} s_p`` and ``a_P = x - b z - sum_{p<P} a_p``, so the weights
enter the model only once more.  ``l_p, u_p`` come from the bounds of the sources;
where the bounds on v (CROWN, OBBT) are tighter than their sums, ``relu.bigm``'s two
rows with these bounds are kept as well, so the relaxation is never weaker.

Clipped neurons that can reach their ceiling get the rows of ``relu.clipped`` instead.
Choose 2 to 4 parts for wide layers; it pays less for few inputs.

Source: Tsay, Kronqvist, Thebelt and Misener, "Partition-based formulations for
mixed-integer optimization of trained ReLU neural networks", NeurIPS 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.config import ConfigValue, In, document_class_CONFIG
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory, value

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.declaration import CLIPPED, Adds
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.formulations.partition_split import SourceTerms, split_terms
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.row_builder import bounded

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict

    from pyomo_relu.block.records.encoding import Encoding


def _parts_argument(given):
    if given is None or given == "hull" or isinstance(given, int):
        return given
    if isinstance(given, (str, float)):
        raise ValueError("give a positive number of parts, one per layer, or 'hull'")
    return tuple(given)


def _declare_partition(config):
    config.declare(
        "n_parts",
        ConfigValue(
            default=None,
            domain=_parts_argument,
            description="number of parts P, one per layer, or 'hull'",
            doc="""
            Default: 2, or 1 in layers whose neurons have one nonzero weight.  A number for all layers, a sequence with one number per activation layer,
            or "hull" for one part per nonzero weight.  More parts than the layer's
            largest fan-in are an error; a neuron of that layer with fewer nonzero
            weights than P gets one part per weight.""",
        ),
    )
    config.declare(
        "split",
        ConfigValue(
            default="equal_size",
            domain=In(["equal_size", "equal_range"]),
            description="how a neuron's terms are divided",
            doc="""
            Both sort the terms by weight.  "equal_size": the same number of terms in
            each part.  "equal_range": the weights between the 5% and 95% quantiles are
            cut into ranges of equal width, the weights outside form the first and the
            last part; empty parts are left out.""",
        ),
    )
    return config


class PartitionEncoding(Encoding):
    """Of a network whose neurons' sums are split into parts."""

    __slots__ = ()

    def set_start(self, x, pre, post):
        """Set the sums of the parts from the values of the sources, too."""
        super().set_start(x, pre, post)
        new = self.reformulation
        for (k, i, p), total in new.part_sum.items():
            total.set_value(0.0, skip_validation=True)
            at = value(new.rows[k, i, "sum", p].body)
            total.set_value(at, skip_validation=True)
            new.active_part_sum[k, i, p].set_value(
                at if pre[k][i] > 0 else 0.0, skip_validation=True
            )


@TransformationFactory.register(
    "relu.partition",
    doc="Encode ReLU network blocks with partitioned sums (Tsay et al., NeurIPS 2021)",
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Partition(NetworkFormulation):
    """Encode ReLU network blocks part by part; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.partition", n_parts=2)
    sum,0: inputs[0] - part_sum[0,0,0]  ==  0
    on_low,0: 0  <=  active_part_sum[0,0,0] + 1*indicator
    off_low,0: -1  <=  part_sum[0,0,0] - active_part_sum[0,0,0] - 1*indicator
    on_high,0: active_part_sum[0,0,0] - 1*indicator  <=  0
    off_high,0: part_sum[0,0,0] - active_part_sum[0,0,0] + 1*indicator  <=  1
    on_low,1: 0  <=  post + 1*indicator - active_part_sum[0,0,0]
    off_low,1: -1  <=  pre - part_sum[0,0,0] - post - 1*indicator + active_part_sum[0,0,0]
    on_high,1: post - 3*indicator - active_part_sum[0,0,0]  <=  0
    off_high,1: pre - part_sum[0,0,0] - post + 3*indicator + active_part_sum[0,0,0]  <=  3
    above: 0  <=  post - pre
    """

    NAME = "relu.partition"
    ADDS = (
        Adds(binaries=1, variables="2*(P - 1)", rows="5*P"),
        Adds("neuron with tighter bounds than its parts' sums", rows=2),
        CLIPPED,
    )
    SOURCE = "Tsay et al. 2021"
    USE = 'wide layers, 2 to 4 parts; P = 1 is big-M, `"hull"` the convex hull'
    CONFIG: ConfigDict = _declare_partition(
        declare(NetworkFormulation.CONFIG(), "bigM")
    )
    HANDLES_CEILINGS = True
    RECORD = PartitionEncoding

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _encode(self, rows, plan):
        counts = _parts_per_layer(rows, plan.config.n_parts)
        rows.new_columns("part_sum")
        rows.new_columns("active_part_sum")
        for k, n_parts in enumerate(counts):
            terms = None
            for i in rows.encode_stable(k):
                ceiling = rows.network.layers[k].ceiling
                clipped = ceiling is not None and ceiling[i] < rows.bounds.upper[k][i]
                parts = []
                if n_parts != 1 and not clipped and rows.network.layers[k].sources:
                    terms = terms or SourceTerms(rows, k)
                    parts = split_terms(terms, i, n_parts, plan.config.split)
                if len(parts) > 1:
                    _encode_parts(rows, k, i, terms, parts)
                else:
                    encode_big_m(rows, k, i)


def _parts_per_layer(rows, n_parts):
    """The number of parts of each activation layer; None for one per weight."""
    layers, name = rows.network.layers[:-1], rows.block.name
    if n_parts == "hull":
        return [None] * len(layers)
    limits = [_largest_fan_in(layer) for layer in layers]
    if n_parts is None:
        return [max(1, min(2, limit)) for limit in limits]
    counts = n_parts if isinstance(n_parts, tuple) else (n_parts,) * len(layers)
    if len(counts) != len(layers) or not all(
        isinstance(n, int) and n >= 1 for n in counts
    ):
        raise TransformationError(
            f"relu.partition: n_parts={n_parts!r} is not a positive number of parts, "
            f"'hull', or one such number per layer: '{name}' has "
            f"{counted(len(layers), 'activation layer')}."
        )
    for k, (n, limit) in enumerate(zip(counts, limits, strict=True)):
        if n > max(limit, 1):
            fitting = [
                min(m, max(most, 1)) for m, most in zip(counts, limits, strict=True)
            ]
            raise TransformationError(
                f"relu.partition: {n} parts, but the neurons of layer {k} of '{name}' "
                f"have at most {counted(limit, 'nonzero weight')}. Use "
                f"n_parts={fitting}, or n_parts='hull' for one part per weight."
            )
    return list(counts)


def _largest_fan_in(layer):
    counts = np.zeros(layer.size, dtype=int)  # a constant layer has no weights
    for w in layer.weights:
        counts += np.asarray((w != 0).sum(axis=1)).ravel()
    return int(counts.max())


def _encode_parts(rows, k, i, terms, parts):
    """Rows of unstable neuron (k, i) with its terms divided into ``parts``."""
    new, bias = rows.reformulation, float(rows.network.layers[k].bias[i])
    v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
    z = rows.new_indicator(k, i)
    ranges = [terms.range_of(i, part) for part in parts]
    # the last part's sum is v - bias - (other sums), and likewise where active
    last_sum, last_active = ([1.0], [v]), ([1.0, -bias], [x, z])
    for p, part in enumerate(parts[:-1]):
        low, high = ranges[p]
        total = bounded(new.part_sum[k, i, p], low, high)
        active = new.active_part_sum[k, i, p]
        bounded(active, min(low, 0.0), max(high, 0.0))
        coefs, variables = terms.of(i, part)
        rows.add_row((k, i, "sum", p), [*coefs, -1.0], [*variables, total], 0.0, 0.0)
        _part_rows(rows, k, i, p, ([1.0], [total]), ([1.0], [active]), ranges[p], 0)
        for (c, t), own in ((last_sum, total), (last_active, active)):
            c.append(-1.0)
            t.append(own)
    _part_rows(rows, k, i, len(parts) - 1, last_sum, last_active, ranges[-1], bias)
    rows.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
    _keep_tighter_big_m(rows, k, i, ranges, bias)


def _part_rows(rows, k, i, p, total, active, part_range, bias):
    """``a in [l, u] z`` and ``s - a in [l, u] (1 - z)`` for one part.

    ``total`` and ``active`` are (coefficients, variables) of s + bias and of a.
    """
    low, high = part_range
    z = rows.reformulation.indicator[k, i]
    (cs, ts), (ca, ta) = total, active
    difference = [*cs, *(-c for c in ca)], [*ts, *ta]
    for label, bound, (lower, upper) in (
        ("low", low, (0.0, None)),
        ("high", high, (None, 0.0)),
    ):
        coefs, variables = _with(z, -bound, ca, ta)
        rows.add_row((k, i, "on_" + label, p), coefs, variables, lower, upper)
        rhs = [None if side is None else bound + bias for side in (lower, upper)]
        coefs, variables = _with(z, bound, *difference)
        rows.add_row((k, i, "off_" + label, p), coefs, variables, *rhs)


def _with(z, coef, coefs, variables):
    """Add ``coef * z`` to a linear form that may contain z already."""
    coefs, variables = list(coefs), list(variables)
    for at, var in enumerate(variables):
        if var is z:
            coefs[at] += coef
            return coefs, variables
    return [*coefs, coef], [*variables, z]


def _keep_tighter_big_m(rows, k, i, ranges, bias):
    """Add relu.bigm's rows where bounds on v are tighter than the parts' sums."""
    from pyomo_relu.linear.rounding import OF_SUMS

    lower = float(rows.bounds.lower[k][i])
    upper = float(rows.bounds.upper[k][i])
    z = rows.reformulation.indicator[k, i]
    v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
    # part bounds whose sums are looser by less than this are so by rounding only
    slack = OF_SUMS * (1.0 + max(abs(lower), abs(upper)))
    if lower > sum(low for low, _ in ranges) + bias + slack:
        rows.add_row((k, i, "active"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
    if upper < sum(high for _, high in ranges) + bias - slack:
        rows.add_row((k, i, "inactive"), [1.0, -upper], [x, z], upper=0.0)
