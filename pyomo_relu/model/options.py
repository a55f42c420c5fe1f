"""The options that several transformations and solvers have, each declared once.

A name means the same wherever it stands; ``declare`` gives it the text that says what.
"""

import inspect
from collections.abc import Mapping

from pyomo.common.collections import ComponentMap
from pyomo.common.config import (
    Bool,
    ConfigValue,
    IsInstance,
    NonNegativeInt,
    PositiveInt,
)
from pyomo.common.deprecation import deprecation_warning
from pyomo.core.base import ReverseTransformationToken
from pyomo.core.base.component import ComponentBase
from pyomo.core.util import target_list

from pyomo_relu.common.options import (
    executor,
    file_path,
    method_names,
    nlp_solver,
    non_negative,
    number,
    relaxation_solver,
    solver_name,
)


def _targets(value):
    if isinstance(value, (str, bytes, Mapping)):
        raise ValueError("give a component or a list of components")
    return target_list(value)


def _given_m(value):
    if value is None or isinstance(value, (dict, ComponentMap)):
        for key in value:
            if not (key is None or isinstance(key, ComponentBase)):
                raise ValueError(
                    f"the key {key!r} is neither a component nor None; use an "
                    "activation row, such as m.nn.activation[0, 0], or a block"
                )
        return value
    return {None: value}


def _scope(value):
    if value == "box":
        deprecation_warning(
            "scope='box' is now scope='network'.", version="0.1.0", logger="pyomo.relu"
        )
        return "network"
    if value in ("network", "model"):
        return value
    raise ValueError("choose 'network' or 'model'")


#: {name: (default, domain, description, doc)}
SHARED = {
    "targets": (
        None,
        _targets,
        "network blocks, or blocks that contain some, to transform",
        """
        A component or a list of components.  An indexed block means all its members.
        Default: everything in the instance that the transformation is applied to.""",
    ),
    "reverse": (
        None,
        IsInstance(ReverseTransformationToken),
        "token of an earlier call, which is then undone",
        """
        The token that an earlier call of the same transformation on the same model
        returned.  The call then undoes what that one did and nothing else.""",
    ),
    "assume_fixed_vars_permanent": (
        True,
        Bool,
        "whether fixed inputs count as points",
        """
        Named as in gdp.bigm.  If True, a fixed input is a point and the encoding is
        wrong once it is unfixed.  If False, a fixed input counts with its bounds, so it
        may be unfixed later.""",
    ),
    "bigM": (
        None,
        _given_m,
        "big-M coefficients, as in gdp.bigm",
        """
        A number M, a pair (lower, upper) of pre-activation bounds, or a dict or
        ComponentMap of those by activation row ``block.activation[layer, neuron]``, by
        ``block.activation``, by a block that contains it, or by None for all.  A number
        M means (-M, M).  A LOCAL Suffix named BigM on the network block or on a block
        above is read too, after the argument.  The tighter of the given and the
        computed value is used; a given value that is tighter than the computed one must
        be provable, and is an error if a point of the input box violates it.""",
    ),
    "solver": (
        None,
        solver_name,
        "name of the MILP solver that gets the model",
        """
        The name given to pyo.SolverFactory.""",
    ),
    "relaxation_solver": (
        "highs",
        relaxation_solver,
        "what solves the LPs and MILPs of this call: highs, gurobi or auto",
        """
        "auto": Gurobi where it is installed and licensed for the size, else HiGHS.""",
    ),
    "nlp_solver": (
        None,
        nlp_solver,
        "a Pyomo NLP solver that polishes the best points found",
        """
        A name for ``pyo.SolverFactory`` such as "ipopt", or what that returns, with
        options of its own.  It gets a ``relu.complementarity`` copy of the model that
        starts at the point, within the time that is left; what it gives counts only if
        the forward pass and all rows hold there.  None: no solver.""",
    ),
    "scope": (
        "network",
        _scope,
        "what may be assumed: 'network', its input box; 'model', the model's rows too",
        "",
    ),
    "time_limit": (
        None,
        non_negative,
        "seconds for the whole call",
        """
        What is found or proven by then is kept.""",
    ),
    "mip_gap": (1e-4, non_negative, "relative gap at which to stop", ""),
    "abs_gap": (
        None,
        non_negative,
        "absolute gap at which to stop; default 1e-6, or of the objective's size if less",
        "",
    ),
    "stop_at": (
        None,
        number,
        "objective value that is good enough: end at a point at least as good",
        "",
    ),
    "prove_above": (
        None,
        number,
        "objective value that no point is to beat: end once that is proven",
        "",
    ),
    "load_solutions": (True, Bool, "set the Vars to the best point found", ""),
    "logfile": (
        None,
        file_path(""),
        "file that the log is written to, with tee or without",
        """
        A file of that name is replaced.""",
    ),
    "report_timing": (False, Bool, "print the seconds of reading and solving", ""),
    "warmstart": (False, Bool, "try the Vars' present values first", ""),
    "methods": (
        (),
        method_names,
        "names of the methods, in the order in which they run",
        "",
    ),
    "max_rounds": (
        None,
        NonNegativeInt,
        "the most rounds of what this call repeats",
        "",
    ),
    "max_cells": (
        None,
        PositiveInt,
        "the most cells into which a network's input box is split",
        "",
    ),
    "executor": (
        None,
        executor,
        "a concurrent.futures.Executor that does the work",
        """
        For example ``mpi4py.futures.MPIPoolExecutor()`` or a Dask Client's
        ``get_executor()``.  Without one, see ``threads``.""",
    ),
    "threads": (
        1,
        PositiveInt,
        "how many workers share the work at the same time",
        "",
    ),
    "seed": (0, NonNegativeInt, "seed of the random points", ""),
    "progress": (False, Bool, "show a progress bar (needs tqdm)", ""),
    "tee": (False, Bool, "print what is done and found", ""),
}

_SHARED = object()


def declare(config, *names, default=_SHARED, doc=""):
    """Declare shared options.

    Parameters
    ----------
    config : ConfigDict
    *names : str
        Out of ``SHARED``.
    default : object, optional
        Another default than the shared one.
    doc : str, optional
        What is to be said in addition: which values or defaults there are.

    Returns
    -------
    ConfigDict
        ``config``.
    """
    for name in names:
        value, domain, description, text = SHARED[name]
        config.declare(
            name,
            ConfigValue(
                default=value if default is _SHARED else default,
                domain=domain,
                description=description,
                doc="\n".join(filter(None, map(inspect.cleandoc, (text, doc)))) or None,
            ),
        )
    return config
