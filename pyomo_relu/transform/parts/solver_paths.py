"""Which of Pyomo's solver paths take what is not a linear row.

Established by solving with each path (Pyomo 6.10.1, gurobipy 13.0, highspy 1.15,
pyscipopt 6.3); the tests solve with each again.  No path ignores an SOS constraint or a
product of variables: those that cannot take one raise.  Indicator and general
constraints do not exist in Pyomo; ``gurobi_native`` puts them into a Gurobi model.
"""

from pyomo_relu.errors import TransformationError

#: {what: names under which pyo.SolverFactory gives paths that take it}
PATHS = {
    "SOS1 constraints": (
        "gurobi",
        "gurobi_direct",
        "gurobi_persistent",
        "gurobi_persistent_v2",
        "appsi_gurobi",
        "scip_direct",
        "scip_persistent",
    ),
    "products of variables": (
        "gurobi",
        "gurobi_direct",
        "gurobi_persistent",
        "gurobi_persistent_v2",
        "gurobi_direct_minlp",
        "appsi_gurobi",
        "scip_direct",
        "scip_persistent",
    ),
}


def check_path(name, solver, needs):
    """Raise if a solver path is not known to take what a formulation needs.

    Parameters
    ----------
    name : str
        The formulation, for the message.
    solver : str or None
        None checks nothing.
    needs : str
        A key of ``PATHS``.

    Raises
    ------
    TransformationError
    """
    if solver is None or solver in PATHS[needs]:
        return
    raise TransformationError(
        f"{name}: the solver path '{solver}' is not known to take {needs}. Use one of "
        f"{', '.join(PATHS[needs])}, or encode with relu.bigm, which every path takes."
    )
