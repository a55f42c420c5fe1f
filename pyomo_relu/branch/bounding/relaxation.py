"""Bounding a batch of boxes: lines, propagation, dual bounds, LPs."""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyomo_relu.branch.bounding.branching import Branching, middle
from pyomo_relu.branch.bounding.function_rows import FunctionRows
from pyomo_relu.branch.bounding.lines.bounder import MixedBounder
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lps import LPS_INFEASIBLE, NodeLPs
from pyomo_relu.branch.bounding.raising.raising import Raising
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.column_bounds import bound_endless_columns

#: A box shrunk to less than this fraction of its edges' product is bounded again.
_AGAIN = 0.6

#: Rounds of propagation through plain rows and atoms in turn.
PASSES = 2


#: Most turns of rows with lines and atoms, and the share of an edge under which another
#: one follows.
_TURNS, _WORTHWHILE = 4, 0.99

#: How far from a good point tangents bound columns without ends, in its size.
_ASIDE = 1.0, 8.0, 64.0

#: Most LPs with further tangents per box, and the share of what its bound lacks that
#: tangents must promise.
_REFINEMENTS, _PROMISED = 20, 0.02


@dataclass
class Evaluated:
    """What bounding a batch gave.

    Attributes
    ----------
    nodes : Nodes
        Those that remain, with bounds and a column to branch on.
    points : numpy.ndarray, shape (N, n)
        For each of them, the minimiser of its relaxation.
    closed : float
        Lower bound of the objective in what was dropped because of ``cutoff``, which
        is at most ``cutoff``; infinite if nothing was dropped.
    evaluated : int
        Boxes that were bounded.
    unbounded : bool
        An LP was unbounded.
    """

    nodes: Nodes
    points: np.ndarray
    closed: float
    evaluated: int
    unbounded: bool = False


class Relaxation:
    """Bounds boxes of one problem; holds nothing that depends on a box.

    Parameters
    ----------
    problem : BranchProblem
    """

    def __init__(self, problem):
        self.problem = p = problem
        self._bounder = MixedBounder(p)
        self.function_rows = FunctionRows(p, self._bounder.n_further)
        self.n_rows = self.function_rows.n_rows
        self.has_atoms = bool(p.atoms)
        self._branching = Branching(p, self.function_rows)
        self._local = threading.local()
        #: see ``raising.Raising``
        self.raising = Raising(p, self.function_rows, self._bounder.of_all)

    @cached_property
    def bounder(self):
        """LineBounder of the whole network, for MILPs."""
        return LineBounder(self.problem.network)

    @property
    def splittable(self):
        """Which columns boxes may be split along, bool (n,)."""
        return self._branching.splittable

    def forget(self):
        """Choose columns to split as if nothing had been split yet."""
        self._branching = Branching(self.problem, self.function_rows)

    def __getstate__(self):
        return {"problem": self.problem}

    def __setstate__(self, state):
        self.__init__(state["problem"])

    def evaluate(self, nodes, cutoff, deadline=ENDLESS):
        """Bound nodes, shrink and drop them, and choose where to branch.

        Parameters
        ----------
        nodes : Nodes
        cutoff : float
            Only points with a smaller objective are of interest.
        deadline : Deadline
            After it no LP is started.

        Returns
        -------
        Evaluated
        """
        p = self.problem
        nodes, evaluated = nodes[:], len(nodes)
        given = nodes
        nodes.lower, nodes.upper = nodes.lower.copy(), nodes.upper.copy()
        closed = np.inf
        self.raising.begin()
        nodes = nodes[~self.propagated(nodes, passes=1)]
        for _ in range(2):
            if not len(nodes):
                break
            size = _size(nodes, p.n_inputs)
            lines = self.lines(nodes)
            rows, constants = self.function_rows.rows(
                lines, nodes.lower, nodes.upper, cutoff
            )
            if self.has_atoms:
                empty = self._propagated_with(rows, nodes)
            else:
                empty = rows.tighten(nodes.lower, nodes.upper, p.integer)
            nodes, lines, rows = nodes[~empty], lines[~empty], rows[~empty]
            constants = constants[~empty]
            shrunk = _size(nodes, p.n_inputs) < _AGAIN * size[~empty]
            closed = min(closed, cutoff) if empty.any() else closed
            if shrunk.mean() < 0.5 if len(nodes) else True:
                break
        if not len(nodes):
            self._branching.book(given, nodes, cutoff)
            return Evaluated(nodes, nodes.lower, min(closed, cutoff), evaluated)
        of_atoms = self.atom_rows(nodes)
        lps = self.function_rows.lp_rows(rows, of_atoms)
        costs = self.function_rows.costs(rows)
        found = lines, of_atoms
        done, found = self._bound(nodes, found, lps, costs, constants, cutoff, deadline)
        self._branching.book(given, done.nodes, cutoff)
        self._branching.choose(done.nodes, *found, done.points)
        done.closed, done.evaluated = min(done.closed, closed), evaluated
        if len(done.nodes) < evaluated:
            # boxes were shrunk to where the objective may be below the cutoff
            done.closed = min(done.closed, cutoff)
        return done

    def propagated(self, nodes, passes=PASSES):
        """Shrink boxes by the plain rows and the atoms; which ones are empty."""
        p = self.problem
        empty = np.zeros(len(nodes), dtype=bool)
        if not len(nodes):
            return empty
        for _ in range(passes if self.has_atoms else 1):
            if p.plain.shape[0]:
                empty |= self.function_rows.plain_rows(len(nodes)).tighten(
                    nodes.lower, nodes.upper, p.integer
                )
            if self.has_atoms:
                empty |= self.function_rows.atoms.tighten(nodes.lower, nodes.upper)
        return empty

    def _propagated_with(self, rows, nodes):
        """As ``propagated``, by all rows, plain ones among them, and atoms in turn."""
        p, atoms = self.problem, self.function_rows.atoms
        empty = np.zeros(len(nodes), dtype=bool)
        for _ in range(_TURNS):
            before = nodes.upper - nodes.lower
            empty |= rows.tighten(nodes.lower, nodes.upper, p.integer, rounds=1)
            empty |= atoms.tighten(nodes.lower, nodes.upper, rounds=1)
            with np.errstate(invalid="ignore"):
                shrunk = nodes.upper - nodes.lower < _WORTHWHILE * before
            if not shrunk[~empty].any():
                break
        return empty

    def atom_rows(self, nodes):
        """Lines of all atoms on the boxes; None if there are none."""
        if not self.has_atoms:
            return None
        near = np.clip(nodes.minimiser, nodes.lower, nodes.upper)
        return self.function_rows.atoms.rows(nodes.lower, nodes.upper, [near])

    def _bound(self, nodes, found, lps, costs, constants, cutoff, deadline):
        """Dual bounds of all nodes, and LPs where those do not suffice.

        Returns what is left with its part of ``found``: lines, and rows of atoms.
        """
        at_duals = lps.dual_bounds(
            costs, constants, nodes.duals, nodes.lower, nodes.upper
        )
        nodes.bound = np.maximum(nodes.bound, at_duals)
        points = np.where(costs > 0, nodes.lower, nodes.upper)
        flat = costs == 0
        points[flat] = middle(nodes)[flat]
        unbounded = not self.n_rows and not np.isfinite(points).all()
        points[~np.isfinite(points)] = 0.0
        closed = np.inf
        raising = self.raising.batch(nodes, found[0], (lps, costs), cutoff)
        by_lp = raising.before_lps(points)
        keep = nodes.bound < cutoff
        if self.n_rows and by_lp.any():
            at = np.flatnonzero(by_lp)
            answer = self._solver().solve(
                lps[at],
                costs[at],
                constants[at],
                nodes.lower[at],
                nodes.upper[at],
                deadline,
            )
            if self.has_atoms:
                nodes.bound[at] = np.maximum(nodes.bound[at], answer.bounds)
                inputs = lps, costs, constants
                self._refine(nodes, at, answer, found[1], inputs, cutoff, deadline)
            unbounded = answer.unbounded
            worse = raising.soon[at] & (answer.bounds < nodes.bound[at])
            nodes.duals[at[~worse]] = answer.duals[~worse]
            nodes.bound[at] = np.maximum(nodes.bound[at], answer.bounds)
            points[at] = np.where(answer.solved[:, None], answer.points, points[at])
            if np.isfinite(cutoff):
                self._shrink(nodes, at, lps[at], costs[at], answer, cutoff)
            infeasible = answer.bounds == LPS_INFEASIBLE
            keep[at[infeasible]] = False
        raising.after_lps()
        if np.isfinite(cutoff):
            crossed = (nodes.lower > nodes.upper).any(axis=1)
            nodes.bound[crossed] = np.maximum(nodes.bound[crossed], cutoff)
        dropped = (nodes.bound >= cutoff) & (nodes.bound < LPS_INFEASIBLE)
        if dropped.any():
            closed = min(closed, float(nodes.bound[dropped].min()))
        keep &= nodes.bound < cutoff
        lines, of_atoms = found
        nodes, lines, points = nodes[keep], lines[keep], points[keep]
        nodes.unstable, nodes.minimiser = lines.unstable, points
        if of_atoms is not None:
            of_atoms = of_atoms[keep]
        return Evaluated(nodes, points, closed, 0, unbounded), (lines, of_atoms)

    def _refine(self, nodes, at, answer, of_atoms, inputs, cutoff, deadline):
        """Solve LPs again with tangents at their minimisers where that promises much.

        Parameters
        ----------
        nodes : Nodes
        at : numpy.ndarray of int
            Those that ``answer`` is about; it, ``of_atoms`` and the rows among
            ``inputs`` are changed in place.
        inputs : tuple
            Rows, costs and constants of all nodes' LPs.
        """
        atoms, first = self.function_rows.atoms, self.function_rows.n_linear
        lps, costs, constants = inputs
        near = [np.clip(nodes.minimiser[at], nodes.lower[at], nodes.upper[at])]
        for _ in range(_REFINEMENTS):
            box = nodes.lower[at], nodes.upper[at]
            weights = np.abs(answer.duals[:, first:])
            promised = atoms.promised(weights, *box, answer.points)
            left = 1.0 + np.abs(answer.bounds)
            if np.isfinite(cutoff):
                left = cutoff - answer.bounds
            worth = answer.solved & (left > 0) & (promised > _PROMISED * left)
            some = np.flatnonzero(worth)
            if not some.size or deadline.passed():
                return
            near.insert(0, answer.points.copy())
            which, ends = at[some], [end[some] for end in box]
            new = atoms.rows(*ends, [x[some] for x in near])
            of_atoms[which] = new
            self.function_rows.put_atoms(lps, which, new)
            again = self._solver().solve(
                lps[which], costs[which], constants[which], *ends, deadline
            )
            for name in ("bounds", "duals", "points", "solved"):
                getattr(answer, name)[some] = getattr(again, name)
            nodes.bound[which] = np.maximum(nodes.bound[which], again.bounds)

    def _shrink(self, nodes, at, lps, costs, answer, cutoff):
        """Shrink some boxes to where the LPs' multipliers leave hope."""
        lower, upper = nodes.lower[at], nodes.upper[at]
        lps.tighten_by_duals(
            costs,
            answer.duals,
            answer.bounds,
            cutoff,
            lower,
            upper,
            self.problem.integer,
        )
        nodes.lower[at], nodes.upper[at] = lower, upper

    def _solver(self):
        """This thread's NodeLPs."""
        if not hasattr(self._local, "lps"):
            self._local.lps = NodeLPs(self.function_rows.lp_pattern)
        return self._local.lps

    def root(self):
        """The whole box as the only node."""
        p = self.problem
        return Nodes.root(p.lower, p.upper, self.n_rows)

    def confined(self, cutoff, deadline, point=None):
        """Ends of all columns in which points below ``cutoff`` must lie.

        On a column without end a dual bound needs multipliers that leave no residual
        at all.  Where the rows and the cutoff imply ends, the joint certificate of
        ``linear.column_bounds`` finds some.  Tangents take part: far
        enough on either side of a good point those of a convex cost rise.

        Parameters
        ----------
        cutoff : float
        deadline : Deadline
        point : numpy.ndarray, shape (n,), optional
            A good one.

        Returns
        -------
        lower, upper : numpy.ndarray, shape (n,)

        Raises
        ------
        InfeasibleError
            If it is proven that there are no such points.
        """
        root = self.root()
        rows, _ = self.function_rows.rows(
            self.lines(root), root.lower, root.upper, cutoff
        )
        box, of_atoms = (root.lower[0], root.upper[0]), None
        point = np.zeros(self.problem.n_columns) if point is None else point
        for aside in _ASIDE:
            if self.has_atoms:
                away = aside * (1.0 + np.abs(point))
                near = [(point + sign * away)[None] for sign in (-1.0, 1.0)]
                of_atoms = self.function_rows.atoms.rows(*(e[None] for e in box), near)
            model = self.function_rows.linear_model(rows, *box, of_atoms)
            endless = np.flatnonzero(~np.isfinite(box[1] - box[0]))
            box = bound_endless_columns(model, endless, deadline)
            if not self.has_atoms or np.isfinite(box[1] - box[0]).all():
                break
        return box

    @property
    def endless(self):
        """Which columns have no end on some side."""
        return ~(np.isfinite(self.problem.lower) & np.isfinite(self.problem.upper))

    def lines(self, nodes):
        """FunctionLines of the directions on the boxes."""
        return self._bounder.lines(nodes.lower, nodes.upper)


def _size(nodes, n):
    """Mean edge of each box, relative to nothing; for comparing a box with itself."""
    return (nodes.upper - nodes.lower)[:, :n].sum(axis=1)
