"""Which of Pyomo's solver paths take which rows, of networks and of models around them.

Established by solving with each path (Pyomo 6.10.1, gurobipy 13.0, highspy 1.15,
pyscipopt 6.3); the tests solve with each again.  No path ignores an SOS constraint or a
product of variables: those that cannot take one raise.  Indicator and general
constraints do not exist in Pyomo; ``gurobi_native`` puts them into a Gurobi model.

What each takes is ``MINLP_PATHS``; ``minlp_table()`` is its table for ``docs/howto/minlp_solvers.md``.
"""

from typing import NamedTuple

from pyomo_relu.errors import TransformationError

#: Ways to write a network, and a transformation that does: rows with absolute values as
#: a block has them without one, products, SOS1 sets, or binaries as all others have.
WAYS = {
    "as it is": None,
    "products": "relu.complementarity",
    "sets": "relu.sos1",
    "binaries": "relu.bigm",
}

_PRODUCTS_AND_SETS = ("products", "sets", "binaries")


class Path(NamedTuple):
    """What a path takes, as keys of ``WAYS``, by the kind of model around the networks.

    Parameters
    ----------
    linear : tuple of str
        Linear rows and a linear objective around them.
    quadratic : tuple of str
        Products and squares, convex or not, too.
    general : tuple of str
        Powers, exp, log and the like, too.
    remark : str
        For the table.
    """

    linear: tuple[str, ...]
    quadratic: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    remark: str = ""


_QUADRATIC = Path(_PRODUCTS_AND_SETS, _PRODUCTS_AND_SETS)
_GENERAL = Path(_PRODUCTS_AND_SETS, _PRODUCTS_AND_SETS, _PRODUCTS_AND_SETS)
_NO_SETS = ("as it is", "products", "binaries")
_NO_BINARIES = ("as it is", "products")

#: {name for pyo.SolverFactory: Path}
MINLP_PATHS = {
    "gurobi": _QUADRATIC,
    "gurobi_direct": _QUADRATIC,
    "gurobi_persistent": _QUADRATIC,
    "gurobi_persistent_v2": _QUADRATIC,
    "gurobi_direct_minlp": Path(_NO_SETS, _NO_SETS, _NO_SETS, "takes no sets"),
    "appsi_gurobi": _QUADRATIC,
    "scip_direct": _GENERAL._replace(remark="takes no absolute values"),
    "scip_persistent": _GENERAL._replace(remark="takes no absolute values"),
    "ipopt": Path(
        _NO_BINARIES, _NO_BINARIES, _NO_BINARIES, "local: points without a proof"
    ),
    "gurobi_direct_v2": Path(("binaries",)),
    "appsi_highs": Path(("binaries",), remark="no quadratic objective either"),
    "highs": Path(("binaries",), remark="no quadratic objective either"),
}

#: {what: names under which pyo.SolverFactory gives paths that take it}
PATHS = {
    needs: tuple(path for path, takes in MINLP_PATHS.items() if way in takes.linear)
    for needs, way in (
        ("SOS1 constraints", "sets"),
        ("products of variables", "products"),
    )
}


def minlp_table():
    """``MINLP_PATHS`` as a table in Markdown; equal rows are one."""
    rows = {}
    for path, takes in MINLP_PATHS.items():
        rows.setdefault(takes, []).append(f"`{path}`")
    lines = [
        "| Pyomo's solver | linear around | products, squares | exp, log, powers | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for takes, paths in rows.items():
        cells = [", ".join(way) or "refused" for way in takes[:3]]
        lines.append(f"| {' | '.join([', '.join(paths), *cells, takes.remark])} |")
    return "\n".join(lines)


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
