"""Bounding a batch of boxes: lines, propagation, dual bounds, LPs, where to branch."""

import threading
from dataclasses import dataclass

import numpy as np

from pyomo_relu.branch.bounding.bounder import MixedBounder
from pyomo_relu.branch.bounding.function_rows import FunctionRows
from pyomo_relu.branch.bounding.lines import LineBounder
from pyomo_relu.branch.bounding.lps import LPS_INFEASIBLE, NodeLPs
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import INTEGRALITY, whole

#: A box shrunk to less than this fraction of its edges' product is bounded again.
_AGAIN = 0.6

#: Edges shorter than this, relative to the numbers at their ends, are not split.
_SHORTEST = 1e-13

#: Where a box is split at its LP's minimiser, both parts keep this share of the edge.
_INNER = 0.2


#: Most rounds of LPs for the root's ends; another one follows where an edge shrank to
#: less than this share.
_NARROWINGS = 4
_WORTHWHILE = 0.9

#: Rounds of propagation through plain rows and atoms in turn.
_PASSES = 2

#: Share of an atom's error at the minimiser in its score, beside its largest error.
import os
_MISSED = float(os.environ.get('MISSED','0.99'))
_NETSHARE = float(os.environ.get('NETSHARE','0'))
_NETFAC = float(os.environ.get('NETFAC','1'))

#: With atoms, boxes are split between their middle (0) and the minimiser (1).
_TOWARDS = float(os.environ.get('TOWARDS','0.15'))


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
        #: of the whole network, for MILPs
        self.bounder = LineBounder(p.network)
        self._bounder = MixedBounder(p)
        self.function_rows = FunctionRows(p, self._bounder.n_further)
        self.n_rows = self.function_rows.n_rows
        self.has_atoms = bool(p.atoms)
        self._local = threading.local()

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
        nodes.lower, nodes.upper = nodes.lower.copy(), nodes.upper.copy()
        closed = np.inf
        nodes = nodes[~self._propagated(nodes)]
        for _ in range(2):
            if not len(nodes):
                break
            size = _size(nodes, p.n_inputs)
            lines = self._lines(nodes)
            rows, constants = self.function_rows.rows(
                lines, nodes.lower, nodes.upper, cutoff
            )
            empty = rows.tighten(nodes.lower, nodes.upper, p.integer)
            if self.has_atoms:
                empty |= self._propagated(nodes)
                empty |= rows.tighten(nodes.lower, nodes.upper, p.integer)
                empty |= self._propagated(nodes)
            nodes, lines, rows = nodes[~empty], lines[~empty], rows[~empty]
            constants = constants[~empty]
            shrunk = _size(nodes, p.n_inputs) < _AGAIN * size[~empty]
            closed = min(closed, cutoff) if empty.any() else closed
            if shrunk.mean() < 0.5 if len(nodes) else True:
                break
        if not len(nodes):
            return Evaluated(nodes, nodes.lower, min(closed, cutoff), evaluated)
        of_atoms = self._atom_rows(nodes)
        lps = self.function_rows.lp_rows(rows, of_atoms)
        costs = self.function_rows.costs(rows)
        found = lines, of_atoms
        done = self._bound(nodes, found, lps, costs, constants, cutoff, deadline)
        done.closed, done.evaluated = min(done.closed, closed), evaluated
        if len(done.nodes) < evaluated:
            # boxes were shrunk to where the objective may be below the cutoff
            done.closed = min(done.closed, cutoff)
        return done

    def _propagated(self, nodes):
        """Shrink boxes by the plain rows and the atoms; which ones are empty."""
        p = self.problem
        empty = np.zeros(len(nodes), dtype=bool)
        if not len(nodes):
            return empty
        for _ in range(_PASSES if self.has_atoms else 1):
            if p.plain.shape[0]:
                empty |= self.function_rows.plain_rows(len(nodes)).tighten(
                    nodes.lower, nodes.upper, p.integer
                )
            if self.has_atoms:
                empty |= self.function_rows.atoms.tighten(nodes.lower, nodes.upper)
        return empty

    def _atom_rows(self, nodes):
        if not self.has_atoms:
            return None
        near = np.clip(nodes.minimiser, nodes.lower, nodes.upper)
        return self.function_rows.atoms.rows(nodes.lower, nodes.upper, near)

    def _bound(self, nodes, found, lps, costs, constants, cutoff, deadline):
        """Dual bounds of all nodes, LPs where those do not suffice, branching."""
        at_duals = lps.dual_bounds(
            costs, constants, nodes.duals, nodes.lower, nodes.upper
        )
        nodes.bound = np.maximum(nodes.bound, at_duals)
        points = np.where(costs > 0, nodes.lower, nodes.upper)
        flat = costs == 0
        points[flat] = _middle(nodes)[flat]
        unbounded = not self.n_rows and not np.isfinite(points).all()
        points[~np.isfinite(points)] = 0.0
        closed = np.inf
        keep = nodes.bound < cutoff
        if self.n_rows and keep.any():
            at = np.flatnonzero(keep)
            answer = self._solver().solve(
                lps[at],
                costs[at],
                constants[at],
                nodes.lower[at],
                nodes.upper[at],
                deadline,
            )
            unbounded = answer.unbounded
            nodes.duals[at] = answer.duals
            nodes.bound[at] = np.maximum(nodes.bound[at], answer.bounds)
            points[at] = np.where(answer.solved[:, None], answer.points, points[at])
            if np.isfinite(cutoff):
                self._shrink(nodes, at, lps[at], costs[at], answer, cutoff)
                crossed = (nodes.lower > nodes.upper).any(axis=1)
                nodes.bound[crossed] = np.maximum(nodes.bound[crossed], cutoff)
            infeasible = answer.bounds == LPS_INFEASIBLE
            keep[at[infeasible]] = False
            dropped = nodes.bound >= cutoff
            dropped[at[infeasible]] = False
        else:
            dropped = ~keep
        if dropped.any():
            closed = min(closed, float(nodes.bound[dropped].min()))
        keep &= nodes.bound < cutoff
        lines, of_atoms = found
        nodes, lines, points = nodes[keep], lines[keep], points[keep]
        nodes.unstable, nodes.minimiser = lines.unstable, points
        if of_atoms is not None:
            of_atoms = of_atoms[keep]
        self._choose_branching(nodes, lines, of_atoms, points)
        return Evaluated(nodes, points, closed, 0, unbounded)

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

    def confined(self, cutoff, deadline):
        """Ends of all columns in which points below ``cutoff`` must lie.

        On a column without end a dual bound needs multipliers that leave no residual
        at all.  Where the rows and the cutoff imply ends, the joint certificate of
        ``linear.column_bounds`` finds some.

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
            self._lines(root), root.lower, root.upper, cutoff
        )
        model = self.function_rows.linear_model(rows, root.lower[0], root.upper[0])
        lower, upper, _ = bound_free_columns(
            model, np.flatnonzero(self.endless), deadline=deadline
        )
        return lower, upper

    def narrowed(self, root, cutoff, deadline):
        """The root's box shrunk by propagation and LPs, or None if it is empty.

        Columns that networks and atoms read are minimised and maximised over the
        relaxation; what counts is proven from multipliers.

        Parameters
        ----------
        root : Nodes
        cutoff : float
            Only points with a smaller objective are of interest.
        deadline : Deadline
        """
        p, columns = self.problem, self._splittable()
        for _ in range(_NARROWINGS):
            before = (root.upper - root.lower)[0, columns]
            if self._propagated(root).any():
                return None
            rows, of_atoms, _ = self._root_rows(root, cutoff)
            if rows is None:
                return None
            ended = np.isfinite(root.lower[0]) & np.isfinite(root.upper[0])
            costs = np.zeros((2 * columns.size, p.n_columns))
            k = np.arange(columns.size)
            costs[k, columns] = 1.0
            costs[columns.size + k, columns] = -1.0
            # the objective's line is a row here
            pattern, lps = self.function_rows.with_objective(rows, of_atoms)
            B = len(costs)
            lps = lps[np.zeros(B, dtype=int)]
            lower, upper = np.tile(root.lower, (B, 1)), np.tile(root.upper, (B, 1))
            answer = NodeLPs(pattern).solve(
                lps, costs, np.zeros(B), lower, upper, deadline
            )
            if (answer.bounds == LPS_INFEASIBLE).any():
                return None
            low, high = answer.bounds[: columns.size], -answer.bounds[columns.size :]
            whole_ends = whole(low, high)
            at = p.integer[columns]
            low, high = np.where(at, whole_ends[0], low), np.where(at, whole_ends[1], high)
            root.lower[0, columns] = np.fmax(root.lower[0, columns], low)
            root.upper[0, columns] = np.fmin(root.upper[0, columns], high)
            if (root.lower > root.upper).any():
                return None
            after = (root.upper - root.lower)[0, columns]
            less = after < _WORTHWHILE * before
            if deadline.passed() or (ended[columns].all() and not less.any()):
                break
        return root

    def _root_rows(self, root, cutoff):
        """Rows of the only box after propagation, None if it is empty."""
        lines = self._lines(root)
        rows, constants = self.function_rows.rows(lines, root.lower, root.upper, cutoff)
        for _ in range(_PASSES):
            if rows.tighten(root.lower, root.upper, self.problem.integer).any():
                return None, None, None
            if self._propagated(root).any():
                return None, None, None
        return rows, self._atom_rows(root), constants

    def _splittable(self):
        """Columns along which boxes are split."""
        which = self.problem.integer.copy()
        which[: self.problem.n_inputs] = True
        which[self.function_rows.atoms.arguments] = True
        return np.flatnonzero(which)

    def refuse_endless(self, root):
        """Raise a BoundsError if an argument of an atom is not bounded.

        Parameters
        ----------
        root : Nodes
        """
        p, atoms = self.problem, self.function_rows.atoms
        for j in atoms.arguments:
            lower, upper = root.lower[0, j], root.upper[0, j]
            if not (np.isfinite(lower) and np.isfinite(upper)):
                name = p.original.linear.name(p.columns[j])
                raise BoundsError(
                    f"relu.branch: '{name}' has the bounds [{lower:.6g}, {upper:.6g}] "
                    "by all that the model says, and a function that is not linear "
                    "reads it; branching needs a finite box. Set bounds of the Vars in "
                    "it with setlb(...) and setub(...)."
                )
        fault = atoms.endless(root.lower, root.upper)
        if fault is not None:
            atom, lower, upper = fault
            raise BoundsError(
                f"relu.branch: {atom.name} has no bounds where its argument is in "
                f"[{lower:.6g}, {upper:.6g}], which is all that the model says of it. "
                "Set bounds of the Vars in it with setlb(...) and setub(...) that keep "
                "it away from there."
            )

    @property
    def endless(self):
        """Which columns have no end on some side."""
        return ~(np.isfinite(self.problem.lower) & np.isfinite(self.problem.upper))

    def _lines(self, nodes):
        return self._bounder.lines(nodes.lower, nodes.upper)

    # -- branching -----------------------------------------------------------------

    def _choose_branching(self, nodes, lines, of_atoms, points):
        """Fractional integers first, then the column that the lines' error is due to."""
        p = self.problem
        if not len(nodes):
            return
        weights = self.function_rows.line_weights(nodes.duals, p.network.n_outputs)
        n = p.n_inputs
        scores = np.zeros(nodes.lower.shape)
        if _NETSHARE and self.has_atoms:
            total = lines.errors.sum(axis=2)
            x = points[:, :n]
            u = p.network.forward(x)
            low = u - np.einsum("bfn,bn->bf", lines.low, x) - lines.low_const
            high = np.einsum("bfn,bn->bf", lines.high, x) + lines.high_const - u
            missed = np.maximum(np.concatenate([low, high], axis=1), 0.0)
            mixed = _NETSHARE * np.minimum(missed, total) + (1 - _NETSHARE) * total
            weights = weights * mixed / np.maximum(total, 1e-300)
        scores[:, :n] = np.matmul(weights[:, None, :], lines.errors)[:, 0]
        if self.has_atoms:
            scores[:, :n] *= _NETFAC
        splittable = np.zeros(p.n_columns, dtype=bool)
        splittable[self._splittable()] = True
        if self.has_atoms:
            atoms = self.function_rows.atoms
            weights = self.function_rows.atom_weights(nodes.duals)
            part = atoms.scores(weights, of_atoms, points, _MISSED)
            if os.environ.get("COMPF"):
                comp = np.isin(p.columns, p.computed)
                part[:, comp] *= float(os.environ["COMPF"])
            scores += part
        width = nodes.upper - nodes.lower
        size = np.maximum(np.abs(nodes.lower), np.abs(nodes.upper))
        can = width > _SHORTEST * np.where(np.isfinite(size), size, 1.0)
        can &= splittable
        # where no error is left every width counts: rounding or integers remain
        exact = ~(np.where(can, scores, 0.0) > 0).any(axis=1)
        scores = np.where(can, scores, -1.0)
        column = scores.argmax(axis=1)
        rows = np.arange(len(nodes))
        point = _middle(nodes)[rows, column]
        if self.n_rows and (p.factor[0] == 0.0 or self.has_atoms):
            # of a linear objective's LP the minimiser is worth separating
            inner = _INNER * width[rows, column]
            least = nodes.lower[rows, column] + inner
            most = nodes.upper[rows, column] - inner
            at = points[rows, column]
            if self.has_atoms:
                at = _TOWARDS * at + (1.0 - _TOWARDS) * point
            point = np.clip(at, least, most)
        column = np.where(exact | (scores[rows, column] <= 0), -1, column)
        fraction = np.abs(points - np.round(points))
        fraction[:, ~p.integer] = 0.0
        fraction[~can] = 0.0
        most = fraction.argmax(axis=1)
        fractional = fraction[rows, most] > INTEGRALITY
        column = np.where(fractional, most, column)
        point = np.where(fractional, points[rows, most], point)
        # an exact box whose LP point is no solution: any integer left, the widest
        stuck = (column < 0) & (can & p.integer).any(axis=1)
        if stuck.any():
            widest = np.where(can & p.integer, np.minimum(width, 1e6), -1).argmax(
                axis=1
            )
            column = np.where(stuck, widest, column)
            middle = _middle(nodes)[rows, widest]
            ended = np.isfinite(nodes.upper - nodes.lower)[rows, widest]
            middle = np.where(ended, middle, points[rows, widest])
            point = np.where(stuck, middle, point)
        whole = (column >= 0) & p.integer[column]
        nodes.column, nodes.point = column, np.where(whole, np.floor(point), point)


def _middle(nodes):
    """Middles of boxes; where one end is missing the other one, or zero."""
    lower = np.where(np.isfinite(nodes.lower), nodes.lower, nodes.upper)
    upper = np.where(np.isfinite(nodes.upper), nodes.upper, nodes.lower)
    endless = ~(np.isfinite(lower) & np.isfinite(upper))
    lower[endless] = upper[endless] = 0.0
    return 0.5 * (lower + upper)


def _size(nodes, n):
    """Mean edge of each box, relative to nothing; for comparing a box with itself."""
    return (nodes.upper - nodes.lower)[:, :n].sum(axis=1)


def evaluate_part(task):
    """Bound a part of a batch; a task for any executor."""
    relaxation, nodes, cutoff, deadline = task
    return relaxation.evaluate(nodes, cutoff, deadline)
