"""``SolverFactory("relu.decompose")``: its options and its log; see ``decompose``."""

from __future__ import annotations

from pyomo.common.config import ConfigDict, document_class_CONFIG
from pyomo.opt import SolverFactory

from pyomo_relu.branch.interface.interface import (
    EmbeddedSolver,
    Log,
    common_options,
)
from pyomo_relu.common.wording import counted
from pyomo_relu.model.options import declare
from pyomo_relu.version import __version__


def _config() -> ConfigDict:
    config = common_options("relu.decompose")
    declare(
        config, "threads", doc="Threads of this process, for batches of subproblems."
    )
    declare(config, "executor", doc="Here: of the subproblems, in batches of networks.")
    return declare(config, "tee", doc="The log of the tree.")


@SolverFactory.register(
    "relu.decompose",
    doc="Decomposition over ReLU networks: a master LP and subproblems",
)
@document_class_CONFIG(methods=["solve"])
class ReLUDecompose(EmbeddedSolver):
    """Global optimiser for linear models around many networks of few inputs each.

    The model's rows and columns go into a master LP, in which every network is the
    convex hull of its graph; bounds come from the networks' own minima under the
    master's multipliers, proven by CROWN lines on a cover of each network's input box.
    Where the master mixes points of a network that do not lie on its graph, a box is
    split.  Tolerances are those of ``relu.branch``, and so is the class of models.

    Best for several networks of up to three inputs each that few rows join: surrogates
    that share a resource, stages of a chain, scenarios of one design.  Many networks
    cost little more than few.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    NAME = "relu.decompose"
    CONFIG: ConfigDict = _config()

    def _search(self, read, config, deadline):
        from pyomo_relu.branch.bounding.root import tightened_root
        from pyomo_relu.branch.branch import BranchOptions
        from pyomo_relu.decompose.decompose import decompose

        tightened_root(read.problem, self.NAME)  # refuses inputs without bounds
        options = BranchOptions(
            time_limit=deadline.left(),
            mip_gap=config.mip_gap,
            abs_gap=config.abs_gap,
            threads=config.threads,
            executor=config.executor,
            seed=config.seed,
            start=read.start() if config.warmstart else None,
        )
        log = _NodeLog(read, config.tee)
        result = decompose(read.embedded, options, log)
        return result, counted(result.nodes, "node"), log


class _NodeLog(Log):
    """Prints a line each second and for each new incumbent."""

    def __init__(self, read, tee):
        super().__init__(read, tee)
        self.print(
            f"relu.decompose {__version__}: {counted(len(read.blocks), 'network')}, "
            f"{counted(read.problem.n_inputs, 'input')}; "
            f"{counted(read.embedded.linear.n_rows, 'row')}"
        )
        self.print(
            f"{'nodes':>9} {'open':>8} {'bound':>15} {'incumbent':>15} {'gap':>9} "
            f"{'seconds':>8}"
        )

    def __call__(self, run):
        value = run.incumbent.value
        self.note(run.seconds, run.bound, value)
        if not self.tee:
            return
        if self.mark_if_due(run.seconds, value) is not None:
            self._line(run.nodes, run.open, run.bound, value, run.seconds)

    def summary(self, result, message):
        """Print the last line and the outcome."""
        self._line(
            result.nodes, result.open, result.bound, result.value, result.seconds
        )
        self.print(f"status: {message}")

    def _line(self, nodes, open_, bound, value, seconds):
        self.print(
            f"{nodes:>9} {open_:>8} {self.number(bound):>15} {self.number(value):>15} "
            f"{self.gap(bound, value):>9} {seconds:>8.2f}"
        )
