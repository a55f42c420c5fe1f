"""Bounds and points from curves in place of parts, refined where the MILP's optimum lies."""

import numpy as np

from pyomo_relu.decompose.curve_milp import solve_curves
from pyomo_relu.decompose.curve_proofs import Lines, prove_lines
from pyomo_relu.decompose.curves import Curve, sample_curves
from pyomo_relu.decompose.directions import coupling_directions
from pyomo_relu.linear.sessions.watcher import Watcher

#: Share of the tolerance that all curves together may be off where the optimum lies, and
#: how much coarser they are at first.
_EXACT, _COARSE = 0.4, 2.0

#: Share of the tolerance that the MILP may leave.
_MILP = 0.4

#: Share of the time left that one MILP may take.
_MILP_TIME = 0.4

#: Times that lines are made anew from better points.
_PASSES = 3

#: Most times that curves are refined.
_ROUNDS = 25


class _Follower(Watcher):
    """Ends a MILP whose bound suffices."""

    def __init__(self, run):
        self._run = run

    def step(self, bound):
        """See Watcher.step."""
        self._run.tick()
        return bound + self._run.e.constant >= self._run.goal.cutoff


class Separable:
    """A node's parts as curves; see the module.

    Parameters
    ----------
    evaluator : Evaluator
    points : Points
    seed : int
    """

    def __init__(self, evaluator, points, seed):
        self.e, self.points = evaluator, points
        self.families = evaluator.families
        self._rng = np.random.default_rng(seed)

    def run(self, node, duals, goal, clock, tick):
        """Refine until the bound reaches the cutoff or nothing more is gained.

        Parameters
        ----------
        node : Node
            Bounded.
        duals : numpy.ndarray
            Multipliers of rows and links.
        goal : object
            ``cutoff`` and ``tolerance``, which points found on the way change.
        clock : Deadline
        tick : callable
            Called often; what it raises ends the run.

        Returns
        -------
        float
            A bound of the node.
        """
        self.tick = tick
        if not self.start(node, duals, goal, clock):
            return node.bound
        bound = node.bound
        for _ in range(_ROUNDS):
            tick()
            self.prove()
            if clock.passed() or not self._proven():
                break
            answer = self._solve(_MILP * goal.tolerance)
            bound = max(bound, answer.bound + self.e.constant)
            self.e.statistics["milps"] += 1
            if answer.x is not None:
                self._look(answer.x)
            if bound >= goal.cutoff or answer.x is None or clock.passed():
                break
            self._eps = _EXACT * goal.tolerance / self.e.master.n_parts
            if not self._refine(answer.x):
                break
        return bound

    # -- curves --------------------------------------------------------------------

    def start(self, node, duals, goal, clock):
        """Curves of all parts that have one, nothing proven yet; False if none has.

        Parameters are those of ``run``.
        """
        self.node, self.clock, self.goal, e = node, clock, goal, self.e
        self._eps, self._finer = _EXACT * goal.tolerance / e.master.n_parts, _COARSE
        self.linear = e.linear.replace(lower=node.lower, upper=node.upper)
        self.covers = list(node.covers)
        hulls = [
            c.hull(len(f)) for c, f in zip(self.covers, self.families, strict=True)
        ]
        self.directions = coupling_directions(
            e.linear, self.families, *map(list, zip(*hulls, strict=True))
        )
        self.costs = [e.costs[f.columns] for f in self.families]
        _, by_family = e.master.split(duals)
        self.values, self.curves = [], []
        for i, f in enumerate(self.families):
            bounds, _ = self.covers[i].bounds(by_family[i])
            least = np.full(len(f), np.inf)
            np.minimum.at(least, self.covers[i].owner, bounds)
            self.values.append((by_family[i], least))
            self.curves.append(self._curves(i, f))
        every = [curve for mine in self.curves for curve in mine if curve is not None]
        for curve in every:
            curve.refine(self._finer * self._eps)
        return bool(every)

    def _curves(self, i, f):
        along, cover = self.directions[i], self.covers[i]
        plain = np.nan_to_num(along)
        first, last = cover.bounds(plain)[0], -cover.bounds(-plain)[0]
        low, high = np.full(len(f), np.inf), np.full(len(f), -np.inf)
        np.minimum.at(low, cover.owner, first)
        np.maximum.at(high, cover.owner, last)
        members = np.flatnonzero(~np.isnan(along).any(axis=1) & (low <= high))
        box = f.columns[:, : f.n]
        found = sample_curves(
            f,
            members,
            along,
            self.costs[i],
            self.node.lower[box],
            self.node.upper[box],
            self._rng,
        )
        curves = [None] * len(f)
        for k, (z, g, X) in zip(members, found, strict=True):
            curves[k] = Curve(z, g, X, low[k], high[k])
        return curves

    def _proven(self):
        return all(
            lines is not None
            for mine in self.curves
            for curve in mine
            if curve is not None
            for lines in curve.lines
        )

    def prove(self):
        """Lines on all slabs that have none, better ones where better points appear."""
        for _ in range(_PASSES):
            open_ = self._prove_open()
            for i, k, s in open_:
                # before slabs are numbered anew
                curve = self.curves[i][k]
                if curve.improvable(s, 2.0 * self._finer * self._eps):
                    curve.lines[s] = None
            for i, k in {(i, k) for i, k, _ in open_}:
                self.curves[i][k].refine(self._finer * self._eps)
            if self.clock.passed() or not open_:
                break
        self._prove_open()

    def _prove_open(self):
        """Lines on all slabs that have none; returns which."""
        done = []
        for i, f in enumerate(self.families):
            open_ = [
                (k, s)
                for k, curve in enumerate(self.curves[i])
                if curve is not None
                for s, lines in enumerate(curve.lines)
                if lines is None
            ]
            if open_:
                self._prove_slabs(i, f, open_)
                done += [(i, k, s) for k, s in open_]
        return done

    def _prove_slabs(self, i, f, open_):
        owner, slopes, low, high, best, counts = [], [], [], [], [], []
        for k, s in open_:
            curve = self.curves[i][k]
            own = curve.slopes(s, 0.5 * self._finer * self._eps)
            mine = curve.within(s)
            known = curve.g[mine][None] - own[:, None] * curve.z[mine]
            owner += [k] * own.size
            counts.append(own.size)
            slopes.append(own)
            low += [curve.ends[s]] * own.size
            high += [curve.ends[s + 1]] * own.size
            best.append(known.min(axis=1, initial=np.inf))
        owner, slopes = np.array(owner), np.concatenate(slopes)
        best = np.concatenate(best)
        weights = self.costs[i][owner] - slopes[:, None] * self.directions[i][owner]
        lines = Lines(
            owner,
            weights,
            np.array(low),
            np.array(high),
            best,
            np.full(owner.size, self._finer * self._eps),
            np.array([self.curves[i][k].scale for k in owner]),
        )
        members = np.unique(owner)
        inside = np.isin(self.covers[i].owner, members)
        cover, least, (k_seen, V) = prove_lines(
            f,
            self.covers[i][inside],
            self.directions[i],
            self.costs[i],
            lines,
            self.clock,
        )
        if not inside.all():
            cover = type(cover).joined([self.covers[i][~inside], cover])
        self.covers[i] = cover
        at = 0
        for (k, s), count in zip(open_, counts, strict=True):
            curve = self.curves[i][k]
            curve.lines[s] = slopes[at : at + count], least[at : at + count]
            at += count
        for k in np.unique(k_seen):
            mine = V[k_seen == k]
            z, g = mine @ self.directions[i][k], mine @ self.costs[i][k]
            self.curves[i][k].learn(z, g, mine[:, : f.n])

    def _solve(self, gap):
        return solve_curves(
            self.linear,
            self.e.costs,
            self.families,
            self.directions,
            self.curves,
            self.values,
            gap,
            self.clock.share(_MILP_TIME * (self.clock.left() or np.inf)),
            _Follower(self),
        )

    def _refine(self, x):
        """Split slabs where curves at the optimum are below known points."""
        self._finer = 1.0
        changed = False
        for i, f in enumerate(self.families):
            for k, curve in enumerate(self.curves[i]):
                if curve is None:
                    continue
                v = x[f.columns[k]]
                at, cost = float(v @ self.directions[i][k]), float(v @ self.costs[i][k])
                if curve.value(at) - cost > self._eps:
                    s = curve.slab(at)
                    if not curve.split(at):
                        curve.lines[s] = None
                    changed = True
        return changed

    def _look(self, x):
        """Points at what the curves say, and the best ones of the regions there."""
        x = x.copy()
        for i, f in enumerate(self.families):
            for k, curve in enumerate(self.curves[i]):
                if curve is not None:
                    columns, along = f.columns[k], self.directions[i][k]
                    at = float(x[columns] @ along)
                    inputs = curve.X[curve.nearest(at)].copy()
                    # where the direction is an input rows hold as they are
                    inputs[along[: f.n] == 1.0] = at
                    x[columns[: f.n]] = inputs
        self.points.near(x)
