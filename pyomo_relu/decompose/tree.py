"""The tree over nodes, best bound first."""

import concurrent.futures
import contextlib
import heapq
import itertools
from collections import deque
from dataclasses import replace

import numpy as np

from pyomo_relu.branch.branch import branch
from pyomo_relu.branch.points.incumbent import Incumbent
from pyomo_relu.branch.points.rounds import SEARCHING, SearchRounds
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import (
    INFEASIBLE,
    INTERRUPTED,
    OPTIMAL,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
)
from pyomo_relu.decompose.nodes.branching import choose_split
from pyomo_relu.decompose.nodes.lagrangian import Lagrangian
from pyomo_relu.decompose.nodes.master import Master
from pyomo_relu.decompose.nodes.node import Evaluator, Node
from pyomo_relu.decompose.nodes.points import Points
from pyomo_relu.decompose.pieces.rounds import Refining
from pyomo_relu.decompose.subproblems.family import families
from pyomo_relu.decompose.subproblems.parts import take_apart
from pyomo_relu.decompose.subproblems.pricing import Pricing
from pyomo_relu.decompose.subproblems.root import root_box
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import BoxRows
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.linear.rounding import up
from pyomo_relu.linear.unit_range import Units

#: Most seconds for finding ends of columns without any.
_CONFINING = 10.0

#: Networks up to which descents from random points come before the first mixture, and
#: random points where there are more, whose pieces are refined together, too.
_FEW, _SAMPLES = 12, 100

#: A node is bounded once more where the gap has come down to this share by a point.
_NEARER = 0.5

#: Boxes of all nodes that wait: about half a gigabyte.
_MOST_BOXES = 2_000_000


class Decomposition:
    """State of one run; see ``decompose``.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    deadline : Deadline
    progress : callable, optional
    most_boxes : int
        Of all nodes that wait; beyond, covers are merged.

    Attributes
    ----------
    incumbent : Incumbent
    nodes : int
        Nodes evaluated.
    paused : float
        Seconds since the start for which something else had the processor.
    """

    def __init__(self, model, options, deadline, progress=None, most_boxes=_MOST_BOXES):
        self.model, self.options, self.deadline = model, options, deadline
        self.progress, self._most_boxes = progress, most_boxes
        self.nodes, self.paused = 0, 0.0
        self.incumbent = Incumbent(build_problem(model))
        self._heap, self._count = [], itertools.count()
        self._closed = self._unresolved = self._shrunk_to = np.inf
        self._at_work = -np.inf
        self._offered = deque()
        self._boxes = 0
        self._executor = options.executor
        self._rounds = SearchRounds(self.incumbent, options.seed)
        self._refining = None

    # -- what is proven ------------------------------------------------------------

    @property
    def tolerance(self):
        """Absolute gap at which the incumbent counts as optimal."""
        return self.options.tolerance(self.incumbent.value)

    @property
    def cutoff(self):
        """Nodes whose bound reaches this are dropped."""
        return self.incumbent.value - self.tolerance

    @property
    def bound(self):
        """Proven lower bound of the objective."""
        waiting = self._heap[0][0] if self._heap else np.inf
        by_nodes = min(
            self._closed, self._unresolved, self._shrunk_to, self._at_work, waiting
        )
        return min(max(by_nodes, self._by_pieces), self.incumbent.value)

    @property
    def _by_pieces(self):
        return -np.inf if self._refining is None else self._refining.bound

    @property
    def open(self):
        """Number of nodes that wait."""
        return len(self._heap)

    @property
    def seconds(self):
        """Seconds since the start, without those for which it paused."""
        return self.deadline.elapsed() - self.paused

    def offer(self, full):
        """Give a point found elsewhere; it is taken up before the next node.

        Parameters
        ----------
        full : numpy.ndarray, shape (n_columns,)
            Values of the model's columns.
        """
        self._offered.append(np.array(full, dtype=float))

    # -- the run -------------------------------------------------------------------

    def prepare(self):
        """Take the model apart and bound its columns.

        Raises
        ------
        InfeasibleError, BoundsError
        """
        split = take_apart(self.model)
        lower, upper = root_box(split, self.deadline)
        if (lower > upper).any():
            self._at_work = np.inf
            return
        rng = np.random.default_rng(self.options.seed)
        self.families = families(split.parts, split.linear.integer)
        covers = tuple(
            f.begin(
                lower[f.columns[:, : f.n]],
                upper[f.columns[:, : f.n]],
                rng,
            )
            for f in self.families
        )
        self.split = split
        self.master = Master(split.linear, split.costs, self.families)
        lagrangian = Lagrangian(split.linear, self.master.link_columns)
        self.evaluator = Evaluator(
            split.linear,
            split.costs,
            split.constant,
            self.families,
            self.master,
            lagrangian,
            BoxRows.of_model(split.linear),
            Pricing(self._executor),
            self.deadline,
        )
        self.points = Points(
            self.incumbent, self.evaluator, (lower, upper), lambda: self.seconds
        )
        none = np.zeros(split.linear.n_rows + self.master.n_links)
        bound = lagrangian.bound(
            split.costs, split.constant, none, np.zeros(len(split.parts)), lower, upper
        )
        self._widths = upper - lower
        self._endless = ~np.isfinite(self._widths)
        self._root = lower, upper
        self._push(Node(lower, upper, covers, bound, root=True))
        self._at_work = np.inf

    def run(self):
        """Work until a status is reached; returns it."""
        o, pool = self.options, contextlib.nullcontext()
        if o.executor is None and o.threads > 1:
            pool = concurrent.futures.ThreadPoolExecutor(o.threads)
        try:
            with pool as own:
                self._executor = o.executor or own
                return self._run()
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            if hasattr(self, "master"):
                self.master.close()

    def _run(self):
        self.prepare()
        if self._heap:
            self._first_points()
        return self._until_done()

    def _until_done(self):
        while True:
            self.look_up()
            if not self._heap:
                return self._conclusion()
            if self._by_pieces >= self.cutoff:
                # nodes that wait are proven no better than that
                self._closed = min(self._closed, self._by_pieces)
                self._heap.clear()
                continue
            if self._heap[0][0] >= self.cutoff:
                self._closed = min(self._closed, self._heap[0][0])
                self._heap.clear()
                continue
            if self.deadline.passed():
                return TIME_LIMIT
            if self._refining is not None and self._refining.due(self.seconds):
                self._refining.run(self)
            elif self._work() == UNBOUNDED:
                return UNBOUNDED
            self._search()

    def look_up(self):
        """Report, wait if others have the processor, and take what they found."""
        self._take_offered()
        if self.progress is not None:
            self.progress(self)
            self._take_offered()

    def _push(self, node):
        self._boxes += node.size
        if self._boxes > self._most_boxes:
            self._boxes -= node.size
            pairs = zip(node.covers, self.families, strict=True)
            covers = tuple(c.merged(f.networks, len(f)) for c, f in pairs)
            node = replace(node, covers=covers)
            self._boxes += node.size
        heapq.heappush(self._heap, (node.bound, next(self._count), node))

    def _work(self):
        cutoff = self.cutoff
        if np.isfinite(cutoff):
            self._shrunk_to = min(self._shrunk_to, cutoff)
            self._confine(cutoff)
        self._at_work, _, node = self._heap[0]
        done = self.evaluator.evaluate(node, cutoff, self.accuracy)
        self.nodes += 1
        if done.unbounded:
            return UNBOUNDED
        children = [] if done.node is None else self._children(done)
        # an interrupt loses no bound: that of the node counts until both wait
        heapq.heappop(self._heap)
        self._boxes -= node.size
        for child in children:
            self._push(child)
        self._at_work = np.inf
        return None

    def _confine(self, cutoff):
        """Ends for columns without any, once points of interest have a cutoff."""
        if not self._endless.any():
            return
        at = np.flatnonzero(self.split.costs)
        lower, upper = self._root
        linear = self.split.linear.replace(lower=lower, upper=upper)
        linear = linear.with_row(
            at, self.split.costs[at], -np.inf, up(cutoff - self.split.constant)
        )
        clock = self.deadline.share(_CONFINING)
        columns = np.flatnonzero(self._endless)
        self._endless[:] = False
        try:
            lower, upper, _ = bound_free_columns(linear, columns, deadline=clock)
        except InfeasibleError:
            lower, upper = np.full_like(lower, np.inf), np.full_like(lower, -np.inf)
        for _, _, node in self._heap:
            node.lower = np.maximum(node.lower, lower)
            node.upper = np.minimum(node.upper, upper)

    @property
    def accuracy(self):
        """The accuracy that bounds are wanted to."""
        if np.isfinite(self.incumbent.value):
            return self.tolerance
        return self.options.tolerance(1.0)

    def _children(self, done):
        node, mixture = done.node, done.mixture
        before = self.cutoff
        if mixture is not None and mixture.solved:
            self.points.look(node, mixture, self.accuracy)
        if node.bound >= self.cutoff:
            self._closed = min(self._closed, node.bound)
            return []
        if self.deadline.passed():
            return [node]
        if not node.again and self.cutoff - node.bound < _NEARER * (
            before - node.bound
        ):
            # bounded as coarsely as a worse point asked for
            return [replace(node, again=True)]
        several = len(self.split.parts) > _FEW
        if node.root and several and node.duals is not None:
            self._refining = Refining(self.evaluator, node)
        pi = None
        if mixture is not None:
            _, pi = self.master.split(mixture.duals)
        split = choose_split(
            node, mixture, self.families, pi, self.split.linear.integer, self._widths
        )
        if split is None:
            self._unresolved = min(self._unresolved, self._by_branching(node))
            return []
        return node.split(*split)

    def _by_branching(self, node):
        """A bound of a node whose boxes are too small to be split, by ``relu.branch``."""
        n = self.model.n_columns
        linear = self.model.linear.replace(lower=node.lower[:n], upper=node.upper[:n])
        inner = replace(
            self.model, linear=linear, known_units=Units.ones(self.model.linear)
        )
        options = replace(self.options, time_limit=self.deadline.left(), start=None)
        found = branch(build_problem(inner), options)
        if found.full is not None:
            self._offered.append(found.full)
            self._take_offered()
        return max(node.bound, found.bound)

    def _conclusion(self):
        if max(min(self._closed, self._unresolved), self._by_pieces) < self.cutoff:
            return STALLED
        return OPTIMAL if np.isfinite(self.incumbent.value) else INFEASIBLE

    # -- points --------------------------------------------------------------------

    def _first_points(self):
        o, problem = self.options, self.incumbent.problem
        if len(self.split.parts) <= _FEW:
            points = self.incumbent.begin(o.seed, o.start)
        else:
            # a walk over many networks' regions costs more than the first mixture
            n, rng = problem.n_inputs, np.random.default_rng(o.seed)
            points = np.zeros((_SAMPLES, problem.n_columns))
            ends = (a[problem.columns[:n]] for a in self._root)
            points[:, :n] = rng.uniform(*ends, (_SAMPLES, n))
            if o.start is not None:
                points[0] = np.nan_to_num(o.start[problem.columns])
            self.incumbent.offer(points)
            points = points[:0]
        for point in points:
            if self.deadline.passed():
                return
            self.points.improve(point)

    def _take_offered(self):
        while self._offered:
            full = self._offered.popleft()
            if full.shape == (self.model.n_columns,) and np.isfinite(full).all():
                self.incumbent.offer(full[self.incumbent.problem.columns][None])

    def _search(self):
        """Rounds of search while nothing feasible is known."""
        if np.isfinite(self.incumbent.value) or not self._heap:
            return
        if self._rounds.due(SEARCHING, self.seconds) and not self.deadline.passed():
            self._rounds.run(self.deadline)
