"""``SolverFactory("relu.branch")``: its options and its log; the search is in ``branch``."""

from __future__ import annotations

from math import inf

from pyomo.common.config import (
    ConfigDict,
    ConfigValue,
    NonNegativeInt,
    PositiveInt,
    document_class_CONFIG,
)
from pyomo.opt import SolverFactory

from pyomo_relu.branch.interface.interface import (
    EmbeddedSolver,
    Log,
    common_options,
    threshold,
)
from pyomo_relu.common.options import file_path, non_negative
from pyomo_relu.common.wording import counted
from pyomo_relu.model.options import declare
from pyomo_relu.version import __version__


def _config() -> ConfigDict:
    config = common_options("relu.branch")
    for name, default, domain, description in (
        ("batch", 256, PositiveInt, "most boxes split together"),
        (
            "milp_neurons",
            30,
            NonNegativeInt,
            "most unstable neurons for a MILP; 0: none",
        ),
        ("node_limit", None, NonNegativeInt, "boxes after which to stop"),
        (
            "save",
            None,
            file_path(".npz"),
            "file in which the state is kept, from which a later run can resume",
        ),
        ("resume", None, file_path(".npz"), "file of an earlier run to go on from"),
        ("save_every", 30.0, non_negative, "seconds between two times of saving"),
        ("save_nodes", None, PositiveInt, "boxes after which to save as well"),
        ("trace", None, file_path(".json"), "file for what each task took"),
    ):
        config.declare(
            name, ConfigValue(default=default, domain=domain, description=description)
        )
    declare(config, "stop_at", "prove_above")
    declare(
        config,
        "threads",
        doc="""
        Here subtrees: on so many processes of this machine, or, with an executor, so
        many tasks at the same time, where 1 means as many as it has workers.""",
    )
    declare(config, "executor", doc="Here of subtrees; docs/distributed.md has more.")
    declare(config, "tee", doc="The log of the tree.")
    return config


@SolverFactory.register(
    "relu.branch",
    doc="Global branch and bound on the inputs of ReLU networks, with CROWN bounds",
)
@document_class_CONFIG(methods=["solve"])
class ReLUBranch(EmbeddedSolver):
    """Global optimiser for factorable models with ReLU networks in them.

    Objective and rows are linear in continuous, integer and binary Vars, or made of
    products, quotients, powers, sqrt, exp, log, log10, sin, cos, tanh, abs, min and max
    (``model.atoms``).  The networks must always hold (none on a Disjunct), and every
    network input and nonlinear argument must be bounded, by its Var or by rows.
    ``ReLUNetworkBlock`` is used as it is, transformed or not: no encoding is needed and
    none is solved.

    Boxes of the networks' inputs are bounded by CROWN lines and split until the best
    point found is proven optimal within ``mip_gap`` or ``abs_gap``.  A point counts as
    feasible if every row, bound and network holds within 1e-6, relative to the sizes of
    the columns, of a row's terms and of what the network reaches, where these are not
    about 1 (``linear.embedded``).  Bounds of boxes are rounded outward and proven from dual
    multipliers; boxes handed to HiGHS as MILPs rest on HiGHS' tolerances (1e-9).
    Nonlinear arguments are split like networks' inputs; their lines are McCormick's,
    secants and tangents.

    Best for up to about five inputs (of networks of any depth), for several networks
    with few inputs each, with binaries that connect them, and where rows fix a
    network's output; networks of a single input cost next to nothing.  The work grows with
    the number of inputs that must be split: for shallow networks in ten or more inputs
    use ``relu.bigm`` with a MILP solver.

    With ``threads`` or ``executor`` subtrees are tasks for workers: the optimum and the
    proven gap are the same whatever their number, while boxes and, of several optimal
    points, the one returned may differ from run to run.  Nothing that was proven is
    lost with a worker, and with ``save`` nothing older than ``save_every`` seconds with
    all of them.  ``results.solver`` then has ``tasks``, ``workers``, ``lost_tasks`` and
    ``notes`` on what did not go as planned.

    ``stop_at`` and ``prove_above`` ask for a decision in place of an optimum, in the
    sense of the model's objective.  Minimising, the search ends as soon as a point's
    objective is at most ``stop_at`` (termination condition minFunctionValue) or the
    proven bound is at least ``prove_above`` (other; boxes beyond it are dropped).
    Maximising, as soon as a point's objective is at least ``stop_at`` or the bound, an
    upper one, at most ``prove_above``.  ``results.solver.message`` says which it was.

    An infeasible model's ``results.solver.message`` names rows and bounds that
    contradict each other.  No duals, reduced costs or slacks are computed.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    NAME = "relu.branch"
    CONFIG: ConfigDict = _config()

    def _search(self, read, config, deadline):
        from pyomo_relu.branch.branch import BranchOptions, branch_model

        options = BranchOptions(
            time_limit=deadline.left(),
            mip_gap=config.mip_gap,
            abs_gap=config.abs_gap,
            threads=config.threads,
            executor=config.executor,
            seed=config.seed,
            batch=config.batch,
            milp_neurons=config.milp_neurons,
            start=read.start() if config.warmstart else None,
            node_limit=inf if config.node_limit is None else config.node_limit,
            save=config.save,
            resume=config.resume,
            save_every=config.save_every,
            save_nodes=config.save_nodes,
            stop_at=threshold(config.stop_at, read, -inf),
            prove_above=threshold(config.prove_above, read, inf),
        )
        log = _TreeLog(read, config.tee)
        result = branch_model(read.embedded, options, log)
        work = f"{counted(result.nodes, 'box')}, {counted(result.milps, 'MILP')}"
        if result.tasks is not None:
            work += f", {result.tasks.done}"
            if config.trace is not None:
                result.tasks.write(config.trace)
        return result, work, log


class _TreeLog(Log):
    """The log that ``tee`` prints, in the modeller's sense of the objective."""

    def __init__(self, read, tee):
        super().__init__(read, tee)
        if not tee:
            return
        problem = read.problem
        self.print(
            f"relu.branch {__version__}: {counted(len(read.blocks), 'network')}, "
            f"{counted(problem.n_inputs, 'input')}, "
            f"{counted(problem.network.n_neurons, 'neuron')}; "
            f"{counted(problem.n_columns - problem.n_inputs, 'other column')} "
            f"({int(problem.integer.sum())} integer in all), "
            f"{counted(problem.original.linear.n_rows, 'row')}"
        )
        self.print(
            f"{'nodes':>9} {'open':>8} {'MILPs':>6} {'bound':>15} {'incumbent':>15} "
            f"{'gap':>9} {'seconds':>8}"
        )

    def __call__(self, tree):
        """Note what is known; a line each second and for each new incumbent."""
        value = tree.incumbent.value
        self.note(tree.seconds, tree.bound, value)
        if not self.tee:
            return
        mark = self.mark_if_due(tree.seconds, value)
        if mark is not None:
            self._line(
                tree.nodes,
                tree.n_open,
                tree.milps,
                tree.bound,
                value,
                tree.seconds,
                mark,
            )

    def summary(self, result, message):
        """Print the last line and the outcome."""
        if not self.tee:
            return
        self._line(
            result.nodes,
            result.open,
            result.milps,
            result.bound,
            result.value,
            result.seconds,
        )
        self.print(f"status: {message}")

    def _line(self, nodes, open_, milps, bound, value, seconds, mark=""):
        self.print(
            f"{nodes:>9} {open_:>8} {milps:>6} {self.number(bound):>15} "
            f"{self.number(value):>15} {self.gap(bound, value):>9} {seconds:>8.2f} {mark}"
        )
