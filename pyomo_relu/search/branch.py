"""Global branch and bound in the space of the networks' inputs; no Pyomo in here.

A node is a box of the inputs (and of integer columns).  Its bound comes from proven
lines below and above the networks' row functions, so no neuron is a column of anything
that is solved.  The driver below keeps the tree; what happens in a node is in
``branch_relax``, leaves for a MILP are in ``branch_milp``.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from pyomo_relu.search.branch_incumbent import Incumbent
from pyomo_relu.search.branch_nodes import Nodes, OpenNodes
from pyomo_relu.search.branch_relax import Relaxation

OPTIMAL = "optimal"
INFEASIBLE = "infeasible"
UNBOUNDED = "unbounded"
TIME_LIMIT = "time limit"
INTERRUPTED = "interrupted"
STALLED = "stalled"


@dataclass
class BranchOptions:
    """Options of ``branch``.

    Attributes
    ----------
    time_limit : float or None
        Seconds.
    mip_gap : float
        Relative gap ``(incumbent - bound) / |incumbent|`` at which to stop.
    abs_gap : float
        Absolute gap at which to stop.
    batch : int
        Most nodes split together.
    seed : int
        Of the first random points.
    """

    time_limit: float = None
    mip_gap: float = 1e-4
    abs_gap: float = 1e-6
    batch: int = 256
    seed: int = 0


@dataclass
class BranchResult:
    """Outcome of ``branch``; all values are of the minimisation.

    Attributes
    ----------
    status : str
        "optimal", "infeasible", "unbounded", "time limit", "interrupted" or "stalled".
    bound : float
        Proven lower bound of the objective.
    value : float
        Objective of ``full``; infinite if no feasible point was found.
    full : numpy.ndarray or None
        Values of the modeller's columns.
    nodes : int
        Boxes bounded.
    open : int
        Boxes left.
    seconds : float
    """

    status: str
    bound: float
    value: float
    full: np.ndarray
    nodes: int
    open: int
    seconds: float

    @property
    def gap(self):
        """``(value - bound) / |value|``."""
        if not np.isfinite(self.value):
            return np.inf
        return (self.value - self.bound) / max(abs(self.value), 1e-10)


class BranchAndBound:
    def __init__(self, problem, options=None, log=None):
        self.problem = problem
        self.options = options or BranchOptions()
        self.incumbent = Incumbent(problem)
        self.relaxation = Relaxation(problem)
        self.floor = np.inf
        self.nodes = 0
        self.open = None
        self.log = log

    @property
    def tolerance(self):
        if not np.isfinite(self.incumbent.value):
            return 0.0
        o = self.options
        return max(o.abs_gap, o.mip_gap * abs(self.incumbent.value))

    @property
    def cutoff(self):
        return self.incumbent.value - self.tolerance

    @property
    def bound(self):
        least = min(self.floor, self.open.bound)
        return min(least, self.incumbent.value)

    def run(self):
        self.start = time.perf_counter()
        p, o = self.problem, self.options
        self._sample()
        relaxation = self.relaxation
        root = Nodes.root(p.lower, p.upper, relaxation.n_rows)
        self.open = OpenNodes(root[:0])
        status = None
        batch = root
        while True:
            self.nodes += len(batch)
            done = relaxation.evaluate(batch, self.cutoff)
            self.floor = min(self.floor, done.closed)
            self._candidates(done)
            nodes = done.nodes
            self.open.add(nodes)
            cutoff = self.cutoff
            if self.open.bound >= cutoff:
                break
            self.open.prune(cutoff)
            if self.log: self.log(self)
            if o.time_limit and time.perf_counter() - self.start > o.time_limit:
                status = TIME_LIMIT
                break
            batch = self.open.pop(o.batch)
            stuck = batch.column < 0
            if stuck.any():
                self.floor = min(self.floor, batch.bound[stuck].min())
                batch = batch[~stuck]
            batch = batch.split(p.integer)
        bound = self.bound
        return BranchResult(status, bound, self.incumbent.value, self.incumbent.full, self.nodes, len(self.open), time.perf_counter() - self.start)

    def _sample(self):
        p = self.problem
        rng = np.random.default_rng(self.options.seed)
        n = p.n_inputs
        X = np.zeros((1000, p.n_columns))
        X[:, :n] = rng.uniform(p.lower[:n], p.upper[:n], (1000, n))
        feas, values = self.incumbent.offer(X)
        if feas.any():
            self.incumbent.walk(self.incumbent.full[p.columns])

    def _candidates(self, done):
        if not len(done.nodes):
            return
        v = self.incumbent.value
        self.incumbent.offer(done.points)
        if self.incumbent.value < v:
            self.incumbent.walk(self.incumbent.full[self.problem.columns])
