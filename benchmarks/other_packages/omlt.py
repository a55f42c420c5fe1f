"""OMLT: its big-M formulation of each network in a Pyomo model, HiGHS."""

import math

import numpy as np
import pyomo.environ as pyo

from benchmarks.comparison.route import Route
from benchmarks.other_packages.conversion import omlt_definition
from benchmarks.other_packages.linear_route import Answer, OtherPackage


class OMLT(OtherPackage):
    """A model's rows in Pyomo, its networks by ``ReluBigMFormulation``.

    OMLT needs finite bounds of every network's inputs: where the model has none, it is
    not read.
    """

    solver = "OMLT"
    modules = ("omlt",)

    def solve(self, embedded, limit):
        from omlt import OmltBlock
        from omlt.neuralnet import ReluBigMFormulation

        linear = embedded.linear
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(linear.n_columns))
        for j, (lower, upper) in enumerate(
            zip(linear.lower, linear.upper, strict=True)
        ):
            m.x[j].setlb(lower if math.isfinite(lower) else None)
            m.x[j].setub(upper if math.isfinite(upper) else None)
            if linear.integer[j]:
                m.x[j].domain = pyo.Integers
        m.rows = pyo.ConstraintList()
        for i in range(linear.matrix.shape[0]):
            start, end = linear.matrix.indptr[i : i + 2]
            if start == end:
                continue  # 0 within its ends: Pyomo takes no such row
            columns = linear.matrix.indices[start:end].tolist()
            values = linear.matrix.data[start:end].tolist()
            body = pyo.quicksum(
                a * m.x[j] for a, j in zip(values, columns, strict=True)
            )
            ends = linear.row_lower[i], linear.row_upper[i]
            lower, upper = (e if math.isfinite(e) else None for e in ends)
            m.rows.add(pyo.inequality(lower, body, upper))
        m.nn = OmltBlock(range(len(embedded.functions)))
        m.links = pyo.ConstraintList()
        for k, f in enumerate(embedded.functions):
            box = linear.lower[f.inputs], linear.upper[f.inputs]
            if not np.isfinite(box).all():
                return Answer("not read")
            definition = omlt_definition(f.network, *box)
            m.nn[k].build_formulation(ReluBigMFormulation(definition))
            for i, j in enumerate(f.inputs.tolist()):
                m.links.add(m.nn[k].inputs[i] == m.x[j])
            for i, j in enumerate(f.outputs.tolist()):
                m.links.add(m.nn[k].outputs[i] == m.x[j])
        terms = np.flatnonzero(embedded.costs).tolist()
        m.cost = pyo.Objective(
            expr=pyo.quicksum(float(embedded.costs[j]) * m.x[j] for j in terms)
            + embedded.constant
        )
        status, bound, loaded = Route("appsi_highs").run(m, limit)
        if not loaded:
            return Answer(status, bound)
        return Answer(status, bound, np.array([m.x[j].value for j in m.x], dtype=float))
