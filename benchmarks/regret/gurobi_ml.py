"""gurobi-machinelearning on the set's models, to be compared with our routes."""

import importlib.util
import math

import numpy as np

from benchmarks.other_packages import torch_sequential
from pyomo_relu.branch.read import read_model

_SIZE_LIMITED = 10010

_STATUSES = {2: "optimal", 3: "infeasible", 4: "infeasibleOrUnbounded", 5: "unbounded"}


class GurobiML:
    """A model's rows as they are, its networks by gurobi-machinelearning, one thread.

    Parameters
    ----------
    gap : float
        Relative gap.
    """

    solver = "gurobi-machinelearning"

    def __init__(self, gap):
        self.gap = gap

    @property
    def registered(self):
        """Whether the packages are installed."""
        return all(map(importlib.util.find_spec, ("gurobipy", "gurobi_ml", "torch")))

    def run(self, model, limit):
        """See Route.run."""
        import gurobipy as gp
        from gurobi_ml.torch import add_sequential_constr

        read = read_model(model)
        embedded = read.problem.original
        linear, end = embedded.linear, gp.GRB.INFINITY
        with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as g:
            kinds = np.where(linear.integer, "I", "C")
            lower = np.maximum(linear.lower, -end)
            x = g.addMVar(
                linear.n_columns, lower, np.minimum(linear.upper, end), vtype=kinds
            )
            for side, sense in ((linear.row_lower, 1.0), (linear.row_upper, -1.0)):
                some = np.isfinite(side)
                if some.any():
                    matrix = sense * linear.matrix[some]
                    g.addConstr(matrix @ x >= sense * side[some])
            for f in embedded.functions:
                inputs = x[f.inputs].reshape(1, -1)
                outputs = x[f.outputs].reshape(1, -1)
                sequential = torch_sequential(f.network)
                add_sequential_constr(g, sequential, inputs, outputs)
            g.setObjective(embedded.costs @ x + embedded.constant)
            g.Params.TimeLimit, g.Params.Threads, g.Params.MIPGap = limit, 1, self.gap
            try:
                g.optimize()
            except gp.GurobiError as error:
                if error.errno != _SIZE_LIMITED:
                    raise
                return "licence", None, False
            status = _STATUSES.get(g.Status, "maxTimeLimit")
            sign = -1.0 if read.maximise else 1.0
            bound = sign * g.ObjBound if math.isfinite(g.ObjBound) else None
            if not g.SolCount:
                return status, bound, False
            full = np.array(x.X)
        full[linear.integer] = np.round(full[linear.integer])
        for var, value in read.values(full):
            var.set_value(value, skip_validation=True)
        return status, bound, True
