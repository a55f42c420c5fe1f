"""``SolverFactory("relu")``: one call for any model with networks in it."""

from __future__ import annotations

from math import inf

from pyomo.common.config import ConfigDict, document_class_CONFIG
from pyomo.opt import SolverFactory

from pyomo_relu.branch.interface.interface import (
    EmbeddedSolver,
    common_options,
    threshold,
)
from pyomo_relu.errors import ModelError
from pyomo_relu.model.options import declare
from pyomo_relu.portfolio.log import PortfolioLog


def _config() -> ConfigDict:
    config = common_options("relu")
    declare(config, "stop_at", "prove_above")
    declare(
        config,
        "solver",
        default="auto",
        doc="""
        Here one that contains "highs" or "gurobi", or "auto": Gurobi where it is
        installed and licensed for the size, else HiGHS.""",
    )
    declare(config, "threads", doc="Routes that work side by side.")
    declare(
        config,
        "executor",
        doc="Here: of the branching route's subtrees and the decomposition's batches.",
    )
    declare(config, "tee", doc="The log: which route holds bound and incumbent.")
    return config


@SolverFactory.register(
    "relu", doc="Global optimiser for models with ReLU networks: chooses its routes"
)
@document_class_CONFIG(methods=["solve"])
class ReLU(EmbeddedSolver):
    """Global optimiser for models with ReLU networks; chooses its routes by itself.

    The class of models, tolerances and statuses are those of ``relu.branch``.  The model
    is read once, parts that share no Var are solved apart, and each part gets routes by
    its size: branching on inputs (``relu.branch``), decomposition over networks
    (``relu.decompose``), a MILP with exact curves and big-M rows, and tangents of convex
    functions around the networks.  They take turns
    at working and share points and bounds; the results say which of them found what.
    docs/choosing.md has the rules and what they were measured on.

    A MILP's bound rests on its solver's tolerances (1e-7), that of the others (of tangents
    as long as no MILP is needed) is proven
    from multipliers.  ``time_limit`` is kept up to the longest step of a route; a MILP
    solver that does not look up is left to end by itself.

    ``stop_at`` and ``prove_above`` ask for a decision in place of an optimum, as those of
    ``relu.branch`` do.  Where a model has several parts, it is the sum of their points'
    objectives, or of their bounds, that has to reach the value: all parts but the last
    are solved to the gap.

    Ctrl-C ends the run with what was found and proven by then (userInterrupt).  Where
    all was proven already, and routes were about to end, the result is what it would
    have been without it.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    NAME = "relu"
    CONFIG: ConfigDict = _config()

    def _search(self, read, config, deadline):
        from pyomo_relu.branch.branch import BranchOptions
        from pyomo_relu.portfolio.portfolio import Portfolio

        options = BranchOptions(
            mip_gap=config.mip_gap,
            abs_gap=config.abs_gap,
            threads=config.threads,
            executor=config.executor,
            seed=config.seed,
            start=read.start() if config.warmstart else None,
            stop_at=threshold(config.stop_at, read, -inf),
            prove_above=threshold(config.prove_above, read, inf),
        )
        log = PortfolioLog(read, config.tee)
        portfolio = Portfolio(
            read.problem,
            options,
            deadline,
            _milp_solver(config.solver),
            log if config.tee else None,
        )
        result = portfolio.solve()
        for entry in portfolio.history():
            log.note(*entry)
        return result, portfolio.work(), log


def _milp_solver(name):
    """The MILP solver that a name of Pyomo's stands for."""
    if name == "auto":
        return name
    for known in ("highs", "gurobi"):
        if known in name.lower():
            return known
    raise ModelError(
        f"relu: solver={name!r} is none that it can use; give 'highs', 'gurobi' or "
        "'auto'. For another MILP solver apply relu.auto and solve the model by it."
    )
