r"""relu.gdp: activations as Disjunctions, so that gdp's transformations apply.

For v in [L, U], L < 0 < U, ceiling c (infinite for a plain ReLU), an unstable neuron is

    x >= v    or, if c < U,   [below the ceiling: x >= v]  or  [at the ceiling: x >= c]
    x <= v    or, if L < 0,   [active: x <= v]             or  [inactive: x <= 0]

with 0 <= x <= c.  The Disjuncts carry a ``BigM`` Suffix with the tightest coefficients,
so with ``gdp.bigm`` the rows are those of ``relu.bigm`` and ``relu.clipped``.

Six of Pyomo's solver paths ignore an active Disjunction and return a wrong optimum.
Therefore the chosen gdp transformation is applied at once (``gdp_transformation``,
default "gdp.bigm").  With None the Disjunctions stay, and so does the exact nonlinear
row ``block.activation`` of each neuron, which LP and MILP paths refuse; it goes as soon
as a gdp transformation (or you) deactivates the neuron's Disjunctions.  GDPopt, which
takes Disjunctions as they are, then sees redundant nonlinear rows; deactivate
``block.activation`` yourself before you call it.

To what is added comes what the gdp transformation adds.  Choose it for research on
disjunctive formulations; applied with ``gdp.bigm`` it took 20 times as long as
``relu.bigm`` on 300 neurons (0.18 s to 0.009 s).

Source: Grossmann and Trespalacios, "Systematic modeling of discrete-continuous
optimization models through generalized disjunctive programming", AIChE J. 59 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from pyomo.common.config import ConfigValue, document_class_CONFIG
from pyomo.core.base import Suffix, TransformationFactory
from pyomo.core.base.block import Block
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import (
    Any,  # pyright: ignore[reportAttributeAccessIssue]  # Pyomo declares it at run time
)
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct, GDP_Error
from pyomo.gdp.disjunct import DisjunctionData, IndexedDisjunction
from pyomo.gdp.util import is_child_of

from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.options import declare
from pyomo_relu.transform.base import NetworkFormulation, encoding_of, source_of
from pyomo_relu.transform.declaration import AT_CEILING, Adds
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.row_builder import linear_row

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict
    from pyomo.core.base.component import ComponentData
    from pyomo.core.base.constraint import ConstraintData
    from pyomo.core.base.var import VarData

    from pyomo_relu.block.records.encoding import Encoding


class GuardedDisjunctionData(DisjunctionData):
    """A Disjunction that takes the exact activation row with it when it goes.

    The row is active exactly as long as a Disjunction of the neuron is.
    """

    __slots__ = ()

    def activate(self) -> None:
        """Activate, and the exact row too."""
        super().activate()
        self._set_guard()

    def deactivate(self) -> None:
        """Deactivate; with the neuron's last Disjunction the exact row goes."""
        super().deactivate()
        self._set_guard()

    def _set_guard(self):
        container = self.parent_component()
        parent = self.parent_block()
        network_block = None if parent is None else parent.parent_block()
        if network_block is None or container is None:
            return
        k, i, _ = cast("tuple[int, int, str]", self.index())
        keys = ((k, i, label) for label in ("zero", "ceiling"))
        row = network_block.activation[k, i]
        if any(key in container and container[key].active for key in keys):
            row.activate()
        else:
            row.deactivate()


class GuardedDisjunctions(IndexedDisjunction):
    """Container of the Disjunctions of one network block."""

    _ComponentDataClass = GuardedDisjunctionData


def _option_dict(value):
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise ValueError("give a dict with the options' names as keys")
    return dict(value)


def _declare_gdp(config):
    config.declare(
        "gdp_transformation",
        ConfigValue(
            default="gdp.bigm",
            description="gdp transformation to apply at once, or None",
            doc="""
            The registered name of a gdp transformation ("gdp.bigm", "gdp.hull",
            "gdp.mbigm", ...).  None leaves active Disjunctions and keeps the exact
            nonlinear rows until they are transformed.""",
        ),
    )
    config.declare(
        "gdp_options",
        ConfigValue(
            default=None,
            domain=_option_dict,
            description="dict of options for the gdp transformation",
        ),
    )
    return config


class DisjunctiveEncoding(Encoding):
    """Of a network whose activations are Disjunctions."""

    __slots__ = ()

    def set_start(self, x, pre, post):
        """Set indicators and, after gdp.hull, the disaggregated variables."""
        super().set_start(x, pre, post)
        new = self.reformulation
        for (k, i, label), disjunct in new.disjuncts.items():
            v, ceiling = pre[k][i], self.network.layers[k].ceiling
            state = {
                "active": v > 0,
                "inactive": not v > 0,
                "below_ceiling": ceiling is not None and v < ceiling[i],
                "at_ceiling": ceiling is not None and v >= ceiling[i],
            }[label]
            disjunct.indicator_var.set_value(bool(state), skip_validation=True)
            disjunct.binary_indicator_var.set_value(int(state), skip_validation=True)
        for (k, i, _), disjunction in new.disjunctions.items():
            for var in (self.block.pre[k, i], self.block.post[k, i]):
                _start_disaggregated(self.column(var), disjunction)


@TransformationFactory.register(
    "relu.gdp", doc="Turn the activations of ReLU network blocks into Disjunctions"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Gdp(NetworkFormulation):
    """Encode ReLU network blocks by Disjunctions; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.gdp", gdp_transformation=None)
    above: 0  <=  post - pre
    disjuncts[0,0,active].row: post - pre  <=  0
    disjuncts[0,0,inactive].row: post  <=  0
    """

    NAME = "relu.gdp"
    ADDS = (
        Adds(binaries=2, rows=3, disjunctions=1),
        Adds(AT_CEILING, binaries=4, rows=5, disjunctions=2),
    )
    SOURCE = "Grossmann and Trespalacios 2013"
    USE = (
        "research on disjunctive formulations: the Disjunctions are transformed "
        "by any `gdp.*`"
    )
    CONFIG: ConfigDict = _declare_gdp(declare(NetworkFormulation.CONFIG(), "bigM"))
    HANDLES_CEILINGS = True
    RECORD = DisjunctiveEncoding
    NONE_ALLOWED = ("gdp_transformation",)

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _encode(self, rows, plan):
        # a wrong name is an error before anything is done
        _gdp_transformation(plan.config)
        rows.add("disjuncts", Disjunct(Any))
        rows.add("disjunctions", GuardedDisjunctions(Any))
        super()._encode(rows, plan)

    def _encode_neuron(self, rows, k, i, config):
        lower = float(rows.bounds.lower[k][i])
        upper = float(rows.bounds.upper[k][i])
        layer, new = rows.network.layers[k], rows.reformulation
        ceiling = upper if layer.ceiling is None else min(upper, layer.ceiling[i])
        v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
        slack = [1.0, -1.0], [x, v]
        if lower < 0:
            active = _disjunct(new, (k, i, "active"), *slack, None, 0.0, -lower)
            off = _disjunct(
                new, (k, i, "inactive"), [1.0], [x], None, 0.0, float(ceiling)
            )
            new.disjunctions[k, i, "zero"] = [active, off]
        else:
            rows.add_row((k, i, "linear"), *slack, upper=0.0)
        if ceiling < upper:
            below = _disjunct(
                new, (k, i, "below_ceiling"), *slack, 0.0, None, upper - float(ceiling)
            )
            at = _disjunct(
                new,
                (k, i, "at_ceiling"),
                [1.0],
                [x],
                float(ceiling),
                None,
                float(ceiling) - max(lower, 0.0),
            )
            new.disjunctions[k, i, "ceiling"] = [below, at]
            if lower < 0:
                pair = [d.binary_indicator_var for d in (at, active)]
                rows.add_row((k, i, "order"), [1.0, -1.0], pair, upper=0.0)
        else:
            rows.add_row((k, i, "above"), *slack, lower=0.0)

    def _finish(self, encoding, plan):
        config, disjunctions = plan.config, encoding.reformulation.disjunctions
        transformation = _gdp_transformation(config)
        if transformation is not None and len(disjunctions):
            try:
                transformation.apply_to(
                    encoding.reformulation, **(config.gdp_options or {})
                )
            except (GDP_Error, ValueError, TypeError) as error:
                given = config.gdp_options
                raise TransformationError(
                    f"{self.NAME}: {config.gdp_transformation} failed on "
                    f"'{encoding.block.name}'"
                    f"{f' with gdp_options={given}' if given else ''}: {error}"
                ) from error
        for disjunction in disjunctions.values():
            if disjunction.active:
                disjunction.activate()  # the exact rows stay as long as it does

    # -- look-ups ------------------------------------------------------------------

    def get_indicator_var(self, src_constraint: ConstraintData) -> VarData | None:
        """The binary of the neuron's Disjunct "active", or None if there is none."""
        encoding, key = source_of(src_constraint)
        disjuncts = encoding.reformulation.disjuncts
        if (*key, "active") not in disjuncts:
            return None
        return disjuncts[(*key, "active")].binary_indicator_var

    def get_disjunctions(self, src_constraint: ConstraintData) -> list[DisjunctionData]:
        """The Disjunctions that stand for the activation row ``src_constraint``."""
        encoding, key = source_of(src_constraint)
        items = encoding.reformulation.disjunctions.items()
        return [disjunction for index, disjunction in items if index[:2] == key]

    def get_transformed_constraints(
        self, src_constraint: ConstraintData
    ) -> list[ComponentData]:
        """Rows on the Disjuncts, or all that gdp made of them, and rows beside them."""
        encoding, key = source_of(src_constraint)
        rows = encoding.reformulation.component_data_objects(
            Constraint, active=True, descend_into=(Block, Disjunct)
        )
        return [row for row in rows if _neuron(encoding, row) == key]

    def get_src_constraint(
        self, transformed_constraint: ComponentData
    ) -> ConstraintData:
        """The activation row that a row stands for, made by relu.gdp or by gdp."""
        encoding = encoding_of(transformed_constraint)
        if encoding is not None:
            key = _neuron(encoding, transformed_constraint)
            if key is not None:
                return encoding.block.activation[key]
        return super().get_src_constraint(transformed_constraint)


def _neuron(encoding, row):
    """(layer, neuron) whose Vars or whose Disjunct's indicator a row reads, or None.

    Each row of the reformulation is about one neuron; the modeller's are not on it.
    """
    block, new = encoding.block, encoding.reformulation
    if not is_child_of(parent=new, child=row):
        return None
    if row.parent_block() is new and row.parent_component() is not new.rows:
        return None
    copies = map(new.component, ("scaled_pre", "scaled_post"))
    neurons = [id(part) for part in (block.pre, block.post, *copies)]
    for var in identify_variables(row.body, include_fixed=True):
        if id(var.parent_component()) in neurons:
            return var.index()
        disjunct = var.parent_block()
        if disjunct.parent_component() is new.disjuncts:
            return disjunct.index()[:2]
    return None


def _gdp_transformation(config):
    name = config.gdp_transformation
    if name is None:
        return None
    transformation = TransformationFactory(name)
    if transformation is None or not str(name).startswith("gdp."):
        raise TransformationError(
            f"relu.gdp: gdp_transformation={name!r} is not a registered gdp "
            "transformation. Use 'gdp.bigm', 'gdp.hull', 'gdp.mbigm', or None to "
            "transform the Disjunctions yourself."
        )
    return transformation


def _disjunct(new, key, coefs, variables, lower, upper, big_m):
    """One Disjunct ``lower <= sum <= upper``, relaxed by no more than ``big_m``."""
    disjunct = new.disjuncts[key]
    disjunct.row = Constraint(expr=linear_row(coefs, variables, lower, upper))
    disjunct.BigM = Suffix(direction=Suffix.LOCAL)
    disjunct.BigM[disjunct.row] = big_m  # gdp takes the pair (-big_m, big_m)
    return disjunct


def _start_disaggregated(var, disjunction):
    """Values of gdp.hull's copies of ``var``: its value in the Disjunct that holds."""
    hull = TransformationFactory("gdp.hull")
    assert hull is not None  # registered with pyomo.gdp
    try:
        link = hull.get_disaggregation_constraint(
            var, disjunction, raise_exception=False
        )
    except (GDP_Error, KeyError, AttributeError):
        return  # not transformed by gdp.hull
    if link is None:
        return
    rest = {id(t): t for t in identify_variables(link.body) if t is not var}
    left = var.value
    for disjunct in disjunction.disjuncts:
        copy = hull.get_disaggregated_var(var, disjunct, raise_exception=False)
        if copy is None or id(copy) not in rest:
            continue
        holds = disjunct.binary_indicator_var.value > 0.5
        copy.set_value(var.value if holds else 0.0, skip_validation=True)
        left -= copy.value
        del rest[id(copy)]
    for copy in rest.values():  # the Disjuncts that do not mention the variable
        copy.set_value(left, skip_validation=True)
        left = 0.0
