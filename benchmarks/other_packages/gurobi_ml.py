"""gurobi-machinelearning: its encoding, Gurobi's pip licence."""

import math

import numpy as np

from benchmarks.other_packages.conversion import torch_sequential
from benchmarks.other_packages.linear_route import Answer, OtherPackage, sides

_SIZE_LIMITED = 10010

_STATUSES = {2: "optimal", 3: "infeasible", 4: "infeasibleOrUnbounded", 5: "unbounded"}


class GurobiML(OtherPackage):
    """A model's rows as they are, its networks by ``add_sequential_constr``."""

    solver = "gurobi-machinelearning"
    modules = "gurobipy", "gurobi_ml", "torch"

    def solve(self, embedded, limit):
        import gurobipy as gp
        from gurobi_ml.torch import add_sequential_constr

        linear, end = embedded.linear, gp.GRB.INFINITY
        with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as g:
            kinds = np.where(linear.integer, "I", "C")
            lower = np.maximum(linear.lower, -end)
            x = g.addMVar(
                linear.n_columns, lower, np.minimum(linear.upper, end), vtype=kinds
            )
            for matrix, side, sign in sides(linear):
                g.addConstr(sign * (matrix @ x) >= sign * side)
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
                return Answer("licence")
            status = _STATUSES.get(g.Status, "maxTimeLimit")
            bound = g.ObjBound if math.isfinite(g.ObjBound) else None
            return Answer(status, bound, np.array(x.X) if g.SolCount else None)
