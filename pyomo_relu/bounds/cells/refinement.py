"""Refining cells where a linear model's relaxation needs it.

Everything in here decides which cells there are, never whether they are valid.
"""

import numpy as np

from pyomo_relu.bounds.cells.boxes import split_together
from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.bounds.cells.relaxation import CellRelaxation
from pyomo_relu.bounds.relaxation.model import embedded_records
from pyomo_relu.common.arguments import checked, kind
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError

#: Most cells of one network that are halved together, and rounds of halving for each
#: relaxation that is solved.  These and the tolerances below are measured: two inputs,
#: networks of 2x25 to 5x25, alone and coupled, HiGHS and Gurobi.
_TOGETHER = 8
_ROUNDS = 3

#: While refining there may be so many times the cells that are kept in the end.
_GENEROUS = 4

#: Relaxations of more columns than ``_LARGE`` take time that grows faster than they do:
#: refinement ends once those solved have ``_WORK`` columns together.  Measured on 200
#: networks of two inputs; six coupled ones stay below.
_LARGE, _WORK = 30_000, 80_000

#: A cell with less than this share of the weight counts as unused.
_SHARE = 1e-3

#: Reduced costs above this, relative to the objective, are positive.
_POSITIVE = 1e-9

#: Where several cells are in use the solver has to branch whatever their lines are: so
#: many times the tolerance is close enough.
_DIVIDED = 100.0


class CellRefinement:
    """Splits the cells that the relaxation of the whole model uses, or soon would.

    In each round the cells of least reduced cost whose lines are not yet close are
    halved, several rounds by the duals of one relaxation, until the lines are close at
    the relaxation's solution.  There may be more cells in between than wanted: in the
    end halvings are undone, those first that the relaxation has the least use for.  If
    it uses a single cell of each network, also those that it has no use for at all.

    Parameters
    ----------
    linear : LinearModel
        The model around the networks; integer columns are relaxed.
    costs : numpy.ndarray, shape (linear.n_columns,)
        To be minimised.
    networks : list of (CellPartition, inputs, outputs, max_cells)
        Each with its input and output columns and the most cells it may have.
    solver : str or Session class
        For the relaxation.

    Attributes
    ----------
    values : list of float
        The relaxations' values.
    """

    @checked(BoundsError, linear=kind("linear.model", "LinearModel"))
    def __init__(self, linear, costs, networks, solver="highs"):
        self.model, self.partitions, limits = embedded_records(
            linear, costs, networks, CellPartition, 1
        )
        self.limits = [limit for (limit,) in limits]
        self.solver = solver
        self.values = []

    def run(self, tolerance=1e-4, time_limit=None):
        """Refine until the bound is tight, or there are as many cells as allowed.

        Parameters
        ----------
        tolerance : float
            Distance of the lines at the relaxation's solution, relative to the output's
            range, that is as good as none.  If the relaxation uses several cells of
            some network, 100 times as much will do.
        time_limit : float, optional
            Seconds.

        Returns
        -------
        str
            Why it ended: "tolerance", "cells", "time", "no optimum", "work" (many
            networks: see ``_WORK``).
        """
        deadline, work = Deadline(time_limit), 0
        while True:
            relaxation = CellRelaxation(self.model, self.partitions, self.solver)
            solved = relaxation.solve()
            if solved is None:
                return "no optimum"
            self.values.append(solved[0])
            if self._finished(solved[1], tolerance):
                reason = "tolerance"
                break
            if deadline.passed():
                reason = "time"
                break
            work += relaxation.n_columns if relaxation.n_columns > _LARGE else 0
            if work > _WORK:
                reason = "work"
                break
            if not self._grow(solved[1], tolerance):
                reason = "cells"
                break
        value = relaxation.unit + abs(solved[0])
        idle = np.inf if _divided(solved[1]) else _POSITIVE * value
        for partition, limit, use in self._with(solved[1]):
            partition.merge(limit, use.prices.reduced_costs, idle)
        return reason

    def _with(self, uses):
        """Each partition with the most cells it may have and its use."""
        return zip(self.partitions, self.limits, uses, strict=True)

    def _finished(self, uses, tolerance):
        """Whether the lines are close enough at the relaxation's solution."""
        if _divided(uses):
            tolerance *= _DIVIDED
        return self._largest_error(uses) <= tolerance

    def _gain(self, uses):
        """What the objective rises by, at most, if all used cells' lines met."""
        return sum(
            float(use.weight @ partition.gaps_at(use.point) @ use.prices.outputs)
            for partition, _, use in self._with(uses)
        )

    def _largest_error(self, uses):
        return max(
            (use.weight * (partition.gaps_at(use.point) @ partition.weight)).max()
            for partition, _, use in self._with(uses)
        )

    def _grow(self, uses, tolerance):
        """Split cells by the duals of one relaxation; how many."""
        gain, total = self._gain(uses), 0
        # outputs without a price may be what is wrong: cells in use count in any case
        left = [
            (partition, _GENEROUS * limit, use, use.weight > _SHARE)
            for partition, limit, use in self._with(uses)
            if not partition.exact
        ]
        for _ in range(_ROUNDS):
            counts = split_together(
                [(one[0], _wanted(*one, gain, tolerance), None) for one in left]
            )
            left = [
                (partition, limit, use, False)
                for (partition, limit, use, _), n in zip(left, counts, strict=True)
                if n
            ]
            total += sum(counts)
        return total


def _divided(uses):
    return any(use.weight.max() < 1.0 - _SHARE for use in uses)


def _wanted(partition, limit, use, in_use, gain, tolerance):
    """Cells to halve: those that the relaxation could use before it gained ``gain``."""
    reduced = np.where(in_use, -np.inf, use.prices.reduced_costs(partition.cells))
    live = np.flatnonzero((partition.gaps() > tolerance) & (reduced < gain))
    live = live[np.argsort(reduced[live], kind="stable")]
    return live[: max(0, min(_TOGETHER, limit - len(partition)))]
