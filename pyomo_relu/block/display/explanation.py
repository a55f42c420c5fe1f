"""One neuron explained: weights, bounds, state, and the rows that are in force for it."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field

from pyomo.common.collections import ComponentMap
from pyomo.core.base import Block, SOSConstraint
from pyomo.core.base.constraint import Constraint
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct

from pyomo_relu.block.display.row_text import (
    RowText,
    Symbols,
    number_latex,
    number_text,
    row_text,
    sum_latex,
    sum_text,
)
from pyomo_relu.common.html import table_html
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, ModelError

#: Label of the block's own row of a neuron's weights.
WEIGHTS = "weights"


@dataclass(frozen=True)
class Explanation:
    """What there is to know about one neuron; ``str()`` and notebooks show it rounded.

    Attributes
    ----------
    block : str
        Name of the network block.
    layer, neuron : int
        Position; the outputs are the last layer.
    pre, post : str
        Names of its Vars; an output has no post-activation (None).
    layer_name, activation : str
        Of the layer: "relu", "clipped" or "identity" (the outputs).
    weights : dict of str to float
        By the name of what is weighted, without zeros, as they are.
    bias : float
    ceiling : float
        Infinite without one.
    lower, upper : float or None
        Proven bounds of the pre-activation: those that the rows were written with or,
        without a formulation, those in force.  None if an input is unbounded.
    source : str or None
        Which method proved them.
    state : str
        "active", "inactive", "at ceiling", "unstable", "unknown" (no bounds) or
        "output".
    formulation : str or None
        Name of the one in force.
    rows : tuple of RowText
        ``label``, ``text`` and ``latex`` of every row in force for this neuron.
    remark : str
        What is special, such as no rows at all.
    """

    block: str
    layer: int
    neuron: int
    pre: str
    post: str | None
    layer_name: str
    activation: str
    weights: dict[str, float]
    bias: float
    ceiling: float
    lower: float | None
    upper: float | None
    source: str | None
    state: str
    formulation: str | None
    rows: tuple[RowText, ...]
    remark: str = ""
    _symbols: dict[str, str] = field(repr=False, default_factory=dict)

    def facts(self) -> list[tuple[str, str]]:
        """Pairs of what it is and the text, in the order in which they are shown."""
        weights = [(w, (name,)) for name, w in self.weights.items()]
        found = [("weights", f"{self.pre} = {sum_text(weights, str, self.bias)}")]
        if self.post is not None:
            found.append(("activation", f"{self.post} = {self._activation()}"))
        found += [("bounds", self._bounds()), ("state", self._state())]
        found += [(f"row {row.label}", row.text) for row in self._further_rows()]
        return [*found, ("remark", self.remark)] if self.remark else found

    def _further_rows(self):
        """Rows that do not repeat the weights."""
        return [row for row in self.rows if row.label != WEIGHTS]

    def _activation(self):
        if math.isfinite(self.ceiling):
            return f"min(max(0, {self.pre}), {number_text(self.ceiling)})"
        return f"max(0, {self.pre})"

    def _bounds(self):
        if self.lower is None or self.upper is None:
            return "none: an input is unbounded"
        lower, upper = number_text(self.lower), number_text(self.upper)
        return f"{lower} <= {self.pre} <= {upper}, proven by {self.source}"

    def _state(self):
        return {
            "active": f"active: {self.post} = {self.pre} wherever the inputs are",
            "inactive": f"inactive: {self.post} = 0 wherever the inputs are",
            "at ceiling": f"at ceiling: {self.post} = {number_text(self.ceiling)} "
            "wherever the inputs are",
            "unstable": "unstable: the bounds leave it open",
            "unknown": "unknown without bounds",
            "output": "output: no activation",
        }[self.state]

    def _head(self):
        by = "no formulation" if self.formulation is None else self.formulation
        name = f" ('{self.layer_name}')" if self.layer_name else ""
        return f"{self.block}: neuron {self.neuron} of layer {self.layer}{name}, {by}"

    def __str__(self) -> str:
        facts = self.facts()
        width = max(len(what) for what, _ in facts)
        lines = [f"  {what:<{width}}  {text}" for what, text in facts]
        return "\n".join([f"{self._head()} (rounded to four digits)", *lines])

    def _repr_html_(self) -> str:
        header = "part", "rounded to four digits"
        return table_html(header, self.facts(), self._head(), 2)

    def listed(self) -> list[str]:
        """Lines of a listing: the equation with bounds and state, then the rows."""
        (_, equation), *_ = self.facts()
        if self.lower is None or self.upper is None:
            known = "no bounds"
        else:
            ends = f"{number_text(self.lower)}, {number_text(self.upper)}"
            known = f"in [{ends}] by {self.source}"
        state = "" if self.post is None else f", {self.state}"
        lines = [f"{equation}   {known}{state}"]
        if self.formulation is None and self.post is not None:
            lines.append(f"    {self.post} = {self._activation()}")
        elif self.formulation is not None:
            lines += [f"    {row.label}: {row.text}" for row in self._further_rows()]
        return lines if not self.remark else [*lines, f"    ({self.remark})"]

    def latex(self) -> str:
        r"""The neuron in standard notation: lines of an ``aligned`` environment.

        Inputs are x_j, pre-activations v_{k,i}, post-activations x_{k,i}, indicators
        z_{k,i} (and q_{k,i} for a ceiling), outputs y_i.
        """
        return aligned(self.latex_lines())

    def latex_lines(self) -> list[str]:
        """The lines of ``latex()``, each with its ``&``."""
        output = self.state == "output"
        at = f"{{{self.layer},{self.neuron}}}"
        v = f"y_{{{self.neuron}}}" if output else f"v_{at}"
        weights = [(w, (self._symbols[name],)) for name, w in self.weights.items()]
        lines = [f"{v} &= {sum_latex(weights, str, self.bias)}"]
        if not output:
            inner = rf"\max(0, {v})"
            if math.isfinite(self.ceiling):
                inner = rf"\min({inner}, {number_latex(self.ceiling)})"
            lines.append(f"x_{at} &= {inner}")
        if self.lower is not None and self.upper is not None:
            lower, upper = number_latex(self.lower), number_latex(self.upper)
            lines.append(rf"{lower} &\leq {v} \leq {upper}")
        if self.formulation is not None:
            lines += [f"& {row.latex}" for row in self._further_rows()]
            z = [
                s for s in ("z", "q") if any(f"{s}_{at}" in r.latex for r in self.rows)
            ]
            if z:
                names = ", ".join(f"{s}_{at}" for s in z)
                lines.append(rf"{names} &\in \{{0, 1\}}")
        return lines


def _within(position, last):
    """The position as an int from 0 to ``last``; None if it is none."""
    try:
        found = operator.index(position)
    except TypeError:
        return None
    return found if 0 <= found <= last else None


def aligned(lines):
    """Lines of LaTeX as one environment."""
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


class Explainer:
    """Explains neurons of one block; what they share is read once.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    """

    def __init__(self, block):
        self.block, self.network = block, block.encoded_network
        self._symbols = Symbols(block)
        self._encoding = block.record.encoding
        self._roles = ComponentMap()
        columns = self._symbols.columns
        for side in (columns.pre[:-1], columns.post):
            for k, variables in enumerate(side):
                self._roles.update((v, (k, i)) for i, v in enumerate(variables))
        self._rows = self._all_rows()
        try:
            self._bounds = block.neuron_bounds()
            if self._encoding is not None:
                self._bounds = self._encoding.bounds
        except BoundsError:
            self._bounds = None

    def explain(self, layer, neuron):
        """The Explanation of a neuron; raises ModelError if there is none such."""
        k, i = self._position(layer, neuron)
        here, last = self.network.layers[k], len(self.network.layers) - 1
        symbols, columns = self._symbols, self._symbols.columns
        weights, latex = self._weights(here, i)
        lower = upper = source = None
        if self._bounds is not None:
            lower = float(self._bounds.lower[k][i])
            upper = float(self._bounds.upper[k][i])
            source = str(self._bounds.source[k][i])
        rows = self._rows.get((k, i), ())
        rows = [row_text(row, label, symbols) for label, row in rows]
        name = None if self._encoding is None else self._encoding.formulation.NAME
        return Explanation(
            self.block.name,
            k,
            i,
            symbols.text(columns.pre[k][i]),
            None if k == last else symbols.text(columns.post[k][i]),
            here.name,
            here.activation,
            weights,
            float(here.bias[i]),
            float(here.ceilings[i]),
            lower,
            upper,
            source,
            self._state(k, i, k == last),
            name,
            tuple(rows),
            self._remark(k, i, name, rows),
            latex,
        )

    def _position(self, layer, neuron):
        what, layers = f"{self.block.name}: explain", self.network.layers
        last = len(layers) - 1
        k = _within(layer, last)
        if k is None:
            raise ModelError(
                f"{what}: there is no layer {layer!r:.80}; layers are counted from 0 to "
                f"{last}, and {last} holds the outputs."
            )
        i = _within(neuron, layers[k].size - 1)
        if i is None:
            of = "the output layer" if k == last else f"layer {k}"
            raise ModelError(
                f"{what}: there is no neuron {neuron!r:.80} in {of}; its "
                f"{counted(layers[k].size, 'neuron')} are counted from 0 to "
                f"{layers[k].size - 1}."
            )
        return k, i

    def _weights(self, layer, i):
        """Weights and LaTeX symbols by the names of what is weighted."""
        from pyomo_relu.network.layer import weights_of_neuron

        weights, latex = {}, {}
        for source, at, values in weights_of_neuron(layer, i):
            variables = self._symbols.columns.of(source)
            for j, w in zip(at, values, strict=True):
                name = self._symbols.text(variables[j])
                weights[name] = weights.get(name, 0.0) + w
                latex[name] = self._symbols.latex(variables[j])
        return weights, latex

    def _state(self, k, i, output):
        if output:
            return "output"
        if self._bounds is None:
            return "unknown"
        for state in ("active", "inactive", "at_ceiling"):
            if getattr(self._bounds, state)(k)[i]:
                return state.replace("_", " ")
        return "unstable"

    def _remark(self, k, i, name, rows):
        remarks = []
        given = {} if self._encoding is None else self._encoding.given
        for side, end in enumerate(("lower", "upper")):
            if (k, i, side) in given:
                remarks.append(f"the {end} bound is a big-M that was given")
        if not rows:
            remarks.append(f"{name} does without this neuron: there are no rows for it")
        return "; ".join(remarks)

    # -- which rows belong to a neuron ---------------------------------------------

    def _all_rows(self):
        """{(layer, neuron): [(label, row)]} of all rows in force."""
        found = {}

        def put(key, label, row):
            found.setdefault(key, []).append((label, row))

        for part, label in (("affine", WEIGHTS), ("activation", "activation")):
            for key, row in self.block.component(part).items():
                if row.active:
                    put(key, label, row)
        if self._encoding is None:
            return found
        new = self._encoding.reformulation
        for row in new.component_data_objects(
            (Constraint, SOSConstraint), active=True, descend_into=(Block, Disjunct)
        ):
            key, label = self._place(row, row.parent_block() is new)
            if key is not None:
                put(key, label, row)
        return found

    def _place(self, row, on_top):
        """The neuron that a formulation's row belongs to, or None, and a label."""
        index = row.index() if isinstance(row.index(), tuple) else (row.index(),)
        own = row.parent_component().local_name
        if on_top:
            if own == "rows":
                return tuple(index[:2]), ",".join(map(str, index[2:])) or own
            if own == "affine":
                return tuple(index[:2]), own
        variables = row.variables if row.ctype is SOSConstraint else None
        if variables is None:
            variables = identify_variables(row.body, include_fixed=True)
        neurons = {self._roles[v] for v in variables if v in self._roles}
        if len(neurons) != 1:
            return None, own
        at = neurons.pop()
        if on_top and tuple(index[:2]) != at:
            return None, own
        if on_top:
            return at, ",".join(map(str, (own, *index[2:])))
        return at, row.parent_block().local_name
