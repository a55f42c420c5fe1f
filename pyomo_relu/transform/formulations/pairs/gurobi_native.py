"""Gurobi's max, indicator and SOS constraints for blocks in a persistent model.

Works on a solver model that Pyomo's ``gurobi_persistent`` holds; the Pyomo model, which
must be encoded by ``relu.complementarity``, is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pyomo_relu.block.pyomo_private import (
    persistent_model,
    persistent_rows,
    persistent_variables,
)
from pyomo_relu.errors import ModelError, SolverError
from pyomo_relu.model.blocks import network_blocks
from pyomo_relu.transform.formulations.pairs.complementarity import Complementarity
from pyomo_relu.transform.formulations.pairs.pairs import CEILING, ZERO

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData
    from pyomo.solvers.plugins.solvers.gurobi_persistent import GurobiPersistent


_KINDS = ("max", "indicator", "sos1")


def use_native_constraints(
    opt: GurobiPersistent,
    model: BlockData,
    kind: Literal["max", "indicator", "sos1"] = "max",
) -> int:
    """Replace the products of encoded blocks inside a persistent Gurobi model.

    Call it after ``opt.set_instance(model)``::

        pyo.TransformationFactory("relu.complementarity").apply_to(m)
        opt = pyo.SolverFactory("gurobi_persistent")
        opt.set_instance(m)
        use_native_constraints(opt, m)
        opt.solve()

    Another ``set_instance`` starts from the products again, so nothing is lost if this
    function is not called: the model is then solved as the bilinear one it is.

    Parameters
    ----------
    opt : GurobiPersistent
        ``pyo.SolverFactory("gurobi_persistent")`` with an instance set.
    model : Block
        The model or a part of it; all its blocks encoded by ``relu.complementarity``.
    kind : {"max", "indicator", "sos1"}
        ``x = max(v, 0)`` and ``x = min(., c)`` as general constraints; indicator
        constraints on new binaries; or SOS1 sets.

    Returns
    -------
    int
        Number of products replaced.

    Raises
    ------
    SolverError
        If ``opt`` is another interface or has no instance, or the model in it lacks a
        block's rows.
    ModelError
        If a block of ``model`` is not encoded by ``relu.complementarity``.
    """
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(f"use_native_constraints: kind={kind!r} is not in {_KINDS}.")
    gurobi = persistent_model(opt)
    if gurobi is None or not hasattr(opt, "remove_constraint"):
        raise SolverError(
            "use_native_constraints needs pyo.SolverFactory('gurobi_persistent') after "
            f"set_instance(model); got {type(opt).__name__}"
            f"{'' if gurobi is not None else ' without an instance'}."
        )
    replaced = 0
    for block in network_blocks(model, None, "use_native_constraints"):
        encoding = block.record.encoding
        if encoding is None or encoding.formulation is not Complementarity:
            raise ModelError(
                f"'{block.name}' is not encoded by relu.complementarity. Apply that "
                "(and call set_instance) before use_native_constraints."
            )
        replaced += _replace(opt, gurobi, block, encoding, kind)
    gurobi.update()
    return replaced


def _replace(opt, gurobi, block, encoding, kind):
    solver_var = persistent_variables(opt)
    products = encoding.reformulation.products
    present = persistent_rows(opt)
    missing = [row for row in products.values() if row not in present]
    if missing:
        raise SolverError(
            f"the solver's model has no row '{missing[0].name}'. Call "
            "opt.set_instance(model) first, and use_native_constraints once."
        )
    pairs = Complementarity().get_pairs(block)
    for key, row in products.items():
        opt.remove_constraint(row)
        if kind != "max":
            first, second = (solver_var[v] for v in pairs[key])
            _either(gurobi, first, second, kind)
    if kind == "max":
        for k, i in dict.fromkeys(key[:2] for key in pairs):
            v, x = (
                solver_var[encoding.column(var)]
                for var in (block.pre[k, i], block.post[k, i])
            )
            ceiling = None
            if (k, i, CEILING) in pairs:
                level = encoding.network.layers[k].ceiling[i]
                ceiling = float(encoding.in_own_units(k, i, level))
            _clip(gurobi, v, x, (k, i, ZERO) in pairs, ceiling)
    return len(products)


def _clip(gurobi, v, x, below, ceiling):
    """``x = max(v, 0)``, or ``x = min(max(v, 0), ceiling)``."""
    if ceiling is None:
        gurobi.addGenConstrMax(x, [v], 0.0)
        return
    if below:
        raised = gurobi.addVar()
        gurobi.addGenConstrMax(raised, [v], 0.0)
        v = raised
    gurobi.addGenConstrMin(x, [v], ceiling)


def _either(gurobi, first, second, kind):
    if kind == "sos1":
        gurobi.addSOS(1, [first, second])
        return
    z = gurobi.addVar(vtype="B")
    gurobi.addGenConstrIndicator(z, True, second, "<", 0.0)
    gurobi.addGenConstrIndicator(z, False, first, "<", 0.0)
