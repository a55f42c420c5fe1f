"""The route of models with convex atoms: tangents, a tree of LPs, and MILPs after it."""

from dataclasses import replace

import numpy as np

from pyomo_relu.bounds.model_tightening import tighten_model
from pyomo_relu.branch.statuses import INFEASIBLE
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.confirmed import confirmed
from pyomo_relu.linear.sessions.session import Settings
from pyomo_relu.portfolio.convex.lp_tree import LPTree
from pyomo_relu.portfolio.milp import Encoded
from pyomo_relu.portfolio.routes import MILPRoute

#: Most LPs of the tree, and most integer columns that it is for.  Measured: models that
#: it does not prove with these are quicker by a MILP solver's cuts.
_LPS, _INTEGERS = 4000, 200

#: Share of the time, and seconds, for bounds of neurons by LPs.
_TIGHTENING, _SECONDS = 0.2, 10.0

#: Share of the gap to which each MILP is solved: the rest is for what tangents lack.
_OF_GAP = 0.2

#: An absolute gap that does not matter where no value is known, in unit range.
_LEAST_GAP = 1e-6


class OuterRoute(MILPRoute):
    """Networks by big-M rows, atoms by tangents; parameters as ``MILPRoute``.

    Neurons are bounded by LPs over the modeller's rows and the first tangents.  The
    binaries are branched on in an ``LPTree``, which adds tangents at its minimisers; what
    it does not prove goes to a MILP solver, with all of them, and again with those that
    the best points of its solutions' regions ask for.

    Parameters
    ----------
    outer : OuterApproximation
        Of the model, which is convex.
    most : int
        LPs of the tree, after which MILPs follow.
    """

    def __init__(self, model, options, solver, outer, most=_LPS):
        super().__init__(model, options, solver)
        self.name, self.outer, self._most = "tangents", outer, most
        self._tree = None

    def work(self, turn, findings):
        """Encode and solve; see ``sharing.Turn``."""
        self._turn, self._findings = turn, findings
        try:
            self.encoded = self._encoded()
        except InfeasibleError:
            self.encoded = None
        if self.encoded is None or self.encoded.linear is None:
            self._infeasible()
            return
        turn.pause()
        self._tree = self._new_tree()
        try:
            if not self._by_tree():
                self._by_milps()
        finally:
            self._tree.close()

    def _encoded(self):
        """The tangents' model encoded, with bounds that hold at its feasible points."""
        relaxed = self.outer.relaxed.without_fixed_inputs()
        if not relaxed.functions:  # a part of the model without networks
            return Encoded(relaxed, self._turn, one_sided=self.outer.one_sided)
        left = self._findings.deadline.left(_SECONDS)
        found = tighten_model(
            relaxed.linear,
            list(relaxed.functions),
            methods=("crown", "lp"),
            time_limit=_TIGHTENING * left if left < _SECONDS else _SECONDS,
            stop_at_sign=True,
            neurons_only=True,
            progress=lambda *_: self._turn.pause(),
        )
        linear = relaxed.linear.replace(lower=found.lower, upper=found.upper)
        relaxed = replace(relaxed, linear=linear)
        return Encoded(
            relaxed,
            self._turn,
            known=found.networks,
            one_sided=self.outer.one_sided,
        )

    # -- the tree ------------------------------------------------------------------

    def _new_tree(self):
        findings = self._findings
        return LPTree(
            self.encoded.linear,
            self.encoded.costs,
            self.model.constant,
            self._violated,
            self._offer,
            lambda: findings.value - findings.tolerance,
            lambda: max(findings.tolerance, _LEAST_GAP),
            self._turn.pause,
        )

    def _by_tree(self):
        """Branch on the binaries; True if nothing is left to be proven."""
        tree, findings = self._tree, self._findings
        if tree.begin():
            self._tell()
            self._first_points()
            if self._most and tree.whole.size <= _INTEGERS:
                tree.run(self._most, self._tell)
        self.nodes = tree.nodes
        if tree.infeasible and not np.isfinite(findings.value):
            findings.conclude(INFEASIBLE, self.name)
            return True
        return self._tell()

    def _tell(self):
        """Report the tree's bound; whether that is enough."""
        findings = self._findings
        findings.raise_bound(min(self._tree.bound, findings.value), "tangents")
        return findings.done

    def _first_points(self):
        """Points from the regions that the root's minimiser suggests."""
        full, whole = self._tree.root.point, self._tree.whole
        point = self.outer.settled(full[: self.model.n_columns])
        if np.isfinite(point).all():
            self._tree.dive(self.encoded.complete(point)[whole])
        self._tree.dive(full[whole])

    def _violated(self, point, least):
        """Tangents that a point of the tree violates, over the tree's columns."""
        matrix, lower, upper = self.outer.violated(
            point[None, : self.model.n_columns], least
        )
        matrix.resize((lower.size, point.size))
        return matrix, lower, upper

    def _offer(self, full):
        point = self.outer.settled(full[: self.model.n_columns])
        return self._findings.offer(point, self.name)

    # -- MILPs ---------------------------------------------------------------------

    def _by_milps(self):
        """MILPs with more and more tangents, as long as each finds some."""
        findings, tree = self._findings, self._tree
        settings = Settings(
            'SolverFactory("relu")',
            presolve=True,
            tolerance=1e-7,
            relative_gap=_OF_GAP * self.options.mip_gap,
            absolute_gap=_OF_GAP * self.options.tolerance(0.0),
            rays=False,
            seed=self.options.seed,
        )
        while not findings.done and not findings.deadline.passed():
            self._turn.pause()
            rows = tree.rows
            self.encoded.linear = tree.model
            self._told = np.inf
            answer = confirmed(self._solved, settings)
            if answer.status is Status.INFEASIBLE:
                self._infeasible()
                return
            if answer.dual_bound is not None:
                self._raise(answer.dual_bound, answer.unit)
            if tree.rows == rows:
                return

    def _solved(self, settings):
        answer = self._minimize(settings)
        self.milps += 1
        if answer.primal is not None:
            self.found(answer.primal)
        return answer

    def _raise(self, bound, unit):
        super()._raise(min(bound, self._findings.value), unit)

    def found(self, point):
        """See Watcher.found: the best point of its region, and tangents there."""
        self._tree.dive(point[self._tree.whole])

    @property
    def done(self):
        """How much was done, for people."""
        if self._tree is None:
            return "ended before its model was built"
        tree = self._tree
        text = f"{counted(tree.nodes, 'LP')}, {counted(tree.rows, 'tangent')}"
        return f"{text}, {counted(self.milps, 'MILP')}" if self.milps else text
