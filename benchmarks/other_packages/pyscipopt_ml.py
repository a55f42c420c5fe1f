"""PySCIPOpt-ML: its encoding of each network, SCIP."""

import numpy as np

from benchmarks.other_packages.conversion import torch_sequential
from benchmarks.other_packages.linear_route import Answer, OtherPackage, sides

_STATUSES = {
    "optimal": "optimal",
    "gaplimit": "optimal",
    "infeasible": "infeasible",
    "unbounded": "unbounded",
    "inforunbd": "infeasibleOrUnbounded",
}


class PySCIPOptML(OtherPackage):
    """A model's rows as they are, its networks by ``add_predictor_constr``."""

    solver = "PySCIPOpt-ML"
    modules = "pyscipopt", "pyscipopt_ml", "torch"

    def solve(self, embedded, limit):
        from pyscipopt import Model, quicksum
        from pyscipopt_ml.add_predictor import add_predictor_constr

        linear = embedded.linear
        scip = Model()
        scip.hideOutput()
        columns = zip(linear.lower, linear.upper, linear.integer, strict=True)
        x = [
            scip.addVar(
                f"x{j}",
                vtype="I" if integer else "C",
                lb=float(lower) if np.isfinite(lower) else None,
                ub=float(upper) if np.isfinite(upper) else None,
            )
            for j, (lower, upper, integer) in enumerate(columns)
        ]
        for matrix, side, sign in sides(linear):
            for i in range(matrix.shape[0]):
                row = slice(*matrix.indptr[i : i + 2])
                terms = zip(matrix.data[row], matrix.indices[row], strict=True)
                body = quicksum(float(a) * x[j] for a, j in terms)
                limit_ = float(side[i])
                scip.addCons(body >= limit_ if sign > 0 else body <= limit_)
        for k, f in enumerate(embedded.functions):
            add_predictor_constr(
                scip,
                torch_sequential(f.network),
                np.array([x[j] for j in f.inputs]).reshape(1, -1),
                np.array([x[j] for j in f.outputs]).reshape(1, -1),
                unique_naming_prefix=f"n{k}_",
            )
        terms = np.flatnonzero(embedded.costs)
        scip.setObjective(quicksum(float(embedded.costs[j]) * x[j] for j in terms))
        scip.addObjoffset(float(embedded.constant))
        scip.setParam("limits/time", limit)
        scip.setParam("limits/gap", self.gap)
        scip.setParam("parallel/maxnthreads", 1)
        scip.optimize()
        status = _STATUSES.get(scip.getStatus(), "maxTimeLimit")
        bound = scip.getDualbound()
        bound = None if abs(bound) >= scip.infinity() else bound
        if not scip.getNSols():
            return Answer(status, bound)
        return Answer(status, bound, np.array([scip.getVal(v) for v in x]))
