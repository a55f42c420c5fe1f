"""The attributes of Pyomo's objects that are not public, each with the reason for it.

A release of Pyomo that changes one of them fails a test that names it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyomo.core.base.block import Block
from pyomo.core.base.constraint import ConstraintData
from pyomo.core.base.PyomoModel import ModelSolution
from pyomo.core.base.reference import _ReferenceDict_mapping
from pyomo.core.base.set_types import Reals
from pyomo.core.base.var import Var
from pyomo.core.staleflag import StaleFlagManager

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData
    from pyomo.core.base.constraint import IndexedConstraint
    from pyomo.core.base.indexed_component import IndexedComponent
    from pyomo.core.base.set import SetData
    from pyomo.core.base.symbol_map import SymbolMap
    from pyomo.core.base.var import VarData
    from pyomo.core.expr.base import ExpressionBase
    from pyomo.mpec.complementarity import ComplementarityData
    from pyomo.opt import SolverResults

_FLOAT_OR_NONE = float, type(None)


def own_bounds(var: VarData) -> tuple[Any, Any]:
    """A Var's bounds without its domain's: numbers, expressions, or None.

    ``var.lower`` and ``var.bounds`` mix in the domain, which nobody declared as a bound,
    and cost more than the rest of encoding a neuron.
    """
    return var._lb, var._ub


def is_plain(var: VarData) -> bool:
    """Whether a real Var is free and its bounds are floats or none, and no expressions."""
    return (
        not var._fixed
        and var._domain is Reals
        and var._lb.__class__ in _FLOAT_OR_NONE
        and var._ub.__class__ in _FLOAT_OR_NONE
    )


def put_bounds(variables: list[VarData], side: int, bounds: list[float]) -> None:
    """Give Vars floats as lower (side 0) or upper bounds.

    ``setlb`` and ``setub`` look at each number's type, which takes longer than the rest
    of tightening a neuron.
    """
    if side:
        for var, bound in zip(variables, bounds, strict=True):
            var._ub = bound
    else:
        for var, bound in zip(variables, bounds, strict=True):
            var._lb = bound


def add_rows(
    constraint: IndexedConstraint, rows: Iterable[tuple[Any, ExpressionBase]]
) -> None:
    """Add (index, equation) pairs to a Constraint over ``Any``.

    ``constraint[index] = equation`` validates each index and looks at the equation's
    type, which takes as long as making the row.
    """
    data, new = constraint._data, ConstraintData.__new__
    component = weakref.ref(constraint)
    for index, equation in rows:
        row = data[index] = new(ConstraintData)
        row._component, row._index, row._active = component, index, True
        row._expr = equation


def beyond_defaults(variables: Iterable[VarData], lower: float | None) -> list[VarData]:
    """Those Vars that are fixed, or have more than the lower bound that all were given.

    A model has as many as neurons, and asking each one's properties takes longer than
    all else that reading a model of many networks does.
    """
    if lower is None:
        return [
            v
            for v in variables
            if v._fixed
            or v._ub is not None
            or v._lb is not None
            or v._domain is not Reals
        ]
    return [
        v
        for v in variables
        if v._fixed
        or v._ub is not None
        # comparing an expression makes another one
        or v._lb.__class__ is not float
        or v._lb != lower
        or v._domain is not Reals
    ]


def beyond(
    variables: Iterable[VarData], lower: list[float], upper: list[float]
) -> list[VarData]:
    """Those Vars that are fixed, or have more than bounds that are known to hold."""
    return [
        v
        for v, low, high in zip(variables, lower, upper, strict=True)
        if v._fixed
        or v._domain is not Reals
        or (v._lb is not None and (v._lb.__class__ is not float or v._lb > low))
        or (v._ub is not None and (v._ub.__class__ is not float or v._ub < high))
    ]


def members(component: IndexedComponent) -> list[Any]:
    """The members of a component that has one for each index, in that order.

    ``values()`` looks each of them up.
    """
    return list(component._data.values())


def fixed_vars(model: BlockData, descend_into: Any) -> list[VarData]:
    """The fixed Vars of a model; what References show comes more than once."""
    return [
        var
        for component in model.component_objects(Var, descend_into=descend_into)
        for var in component._data.values()
        if var._fixed
    ]


def values_of(variables: Iterable[VarData]) -> list[tuple[VarData, Any, bool]]:
    """(Var, value, whether it is stale) of each, without two properties of each."""
    is_stale = StaleFlagManager.is_stale
    return [(v, v._value, is_stale(v._stale)) for v in variables]


def put_values(variables: Sequence[VarData], values: Sequence[float]) -> None:
    """Set values as ``set_value`` without validation does, the rest like the first."""
    if not variables:
        return
    variables[0].set_value(values[0], skip_validation=True)
    flag = variables[0]._stale
    for var, value in zip(variables, values, strict=True):
        var._value, var._stale = value, flag


def add_solution(
    model: BlockData, status: Any, gap: float, objective: Any, value: float
) -> None:
    """Make a point that Vars were set to the only one of ``model.solutions``.

    ``ModelSolutions.add_solution`` asks each Var's properties in search of fixed ones,
    which takes as long as finding a solution of many networks does.
    """
    solutions = getattr(model, "solutions", None)
    if solutions is None:
        return
    found = ModelSolution()
    found._metadata["status"], found._metadata["gap"] = status, gap
    if objective is not None:
        found._entry["objective"][id(objective)] = objective, {"Value": value}
    for var in fixed_vars(model, Block):
        found._entry["variable"][id(var)] = var, {"Value": var.value}
    solutions.clear(clear_symbol_maps=False)
    solutions.solutions.append(found)


def refers_to_a_mapping(component: IndexedComponent) -> bool:
    """Whether a component is a Reference that was made of a list or a dict.

    Pyomo keeps no public word of it, and only then is the order of its members one that
    the modeller wrote down.
    """
    return isinstance(component._data, _ReferenceDict_mapping)


def set_made_of(index_set: SetData) -> Any:
    """What the members of a Set were given as at construction, or None.

    A Set that keeps the order of insertion says it is ordered even where a Python set
    was inserted, and only its initializer remembers that.
    """
    initializer = getattr(getattr(index_set, "_init_values", None), "_init", None)
    return getattr(initializer, "val", None)


def complementary_expressions(condition: ComplementarityData) -> Iterable[Any]:
    """The two expressions of a complementarity condition; none if it is empty.

    Pyomo hands them out only in standard form, which adds Vars to the model.
    """
    return condition._args or ()


def persistent_model(solver: Any) -> Any | None:
    """The gurobipy model of a persistent interface; None without an instance.

    The interface has no methods for general constraints, such as a maximum.
    """
    return getattr(solver, "_solver_model", None)


def persistent_variables(solver: Any) -> Mapping[Any, Any]:
    """The solver's variable per VarData of a persistent interface with an instance."""
    return solver._pyomo_var_to_solver_var_map


def persistent_rows(solver: Any) -> Mapping[Any, Any]:
    """The solver's row per ConstraintData of a persistent interface with an instance."""
    return solver._pyomo_con_to_solver_con_map


def name_symbols(results: SolverResults, symbols: SymbolMap) -> None:
    """Say which of the model's symbol maps the solutions in ``results`` are named by.

    ``model.solutions.load_from(results)`` looks there, and there alone.
    """
    results._smap_id = id(symbols)
