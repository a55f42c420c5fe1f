"""Boxes of networks' inputs with all that is known on each, bounded many at once."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_batch, output_lines

#: Entries of the largest matrices that one batch of CROWN makes.
_ENTRIES = 4e6


@dataclass
class Boxes:
    """Boxes of the inputs with all that is known on each.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (N, n_inputs)
    lowers, uppers : list of numpy.ndarray, shapes (N, layer size)
        Proven pre-activation bounds, the outputs' last.
    lines : tuple of numpy.ndarray
        ``A_low, c_low, A_high, c_high``, shapes (N, n_outputs, n_inputs) and
        (N, n_outputs).
    """

    lower: np.ndarray
    upper: np.ndarray
    lowers: list
    uppers: list
    lines: tuple

    def __len__(self):
        return len(self.lower)

    def __getitem__(self, at):
        return Boxes(
            self.lower[at],
            self.upper[at],
            [a[at] for a in self.lowers],
            [a[at] for a in self.uppers],
            tuple(a[at] for a in self.lines),
        )

    def joined(self, other):
        """These boxes, then the others."""
        return Boxes.joined_all([self, other])

    @classmethod
    def joined_all(cls, parts):
        """The boxes of all parts in order."""
        if len(parts) == 1:
            return parts[0]

        def each(name):
            lists = [getattr(part, name) for part in parts]
            return [np.concatenate(arrays) for arrays in zip(*lists, strict=True)]

        lower, upper = (
            np.concatenate([getattr(part, side) for part in parts])
            for side in ("lower", "upper")
        )
        return cls(lower, upper, each("lowers"), each("uppers"), tuple(each("lines")))

    def gaps(self, weight):
        """Largest distance between the lines, outputs weighted, shape (N,)."""
        A_low, c_low, A_high, c_high = self.lines
        slope = A_high - A_low
        centre = 0.5 * (self.lower + self.upper)
        radius = 0.5 * (self.upper - self.lower)
        gap = np.einsum("con,cn->co", slope, centre) + c_high - c_low
        gap += np.einsum("con,cn->co", np.abs(slope), radius)
        return (gap * weight).max(axis=1)


def whole_box(bounds):
    """The input box of a NeuronBounds and what it says, as Boxes without lines."""
    lower, upper = bounds.input_lower[None].copy(), bounds.input_upper[None].copy()
    sides = ([a[None] for a in side] for side in (bounds.lower, bounds.upper))
    return Boxes(lower, upper, *sides, ())


def bound_boxes(network, start):
    """CROWN's bounds and output lines on boxes.

    Parameters
    ----------
    network : Network
    start : Boxes
        Lines do not count; bounds hold on the boxes, or on larger ones.

    Returns
    -------
    Boxes
    """
    lower, upper = start.lower, start.upper
    known = start.lowers, start.uppers
    lowers, uppers = crown_batch(network, lower, upper, known, unstable_only=True)
    lines = output_lines(network, lower, upper, lowers, uppers)
    return Boxes(lower, upper, lowers, uppers, lines)


def bound_each(pairs):
    """``bound_boxes`` of many pairs (network, start), those of one network in batches.

    Returns
    -------
    list of Boxes
    """
    found, groups = [None] * len(pairs), {}
    for at, (network, _) in enumerate(pairs):
        groups.setdefault(network, []).append(at)
    for network, members in groups.items():
        widest = max(layer.size for layer in network.layers)
        most = max(1, int(_ENTRIES / (widest * max(widest, network.n_inputs))))
        for batch in _batches(members, [len(start) for _, start in pairs], most):
            joined = Boxes.joined_all([pairs[at][1] for at in batch])
            boxes, end = bound_boxes(network, joined), 0
            for at in batch:
                begin, end = end, end + len(pairs[at][1])
                found[at] = boxes[begin:end]
    return found


def _batches(members, sizes, most):
    """Members in order, as many together as have ``most`` boxes, one in any case."""
    batch, count = [], 0
    for at in members:
        if batch and count + sizes[at] > most:
            yield batch
            batch, count = [], 0
        batch.append(at)
        count += sizes[at]
    yield batch


def split_together(requests):
    """Split cells of several partitions; what ``CellPartition.split`` does for one.

    Parameters
    ----------
    requests : list of (CellPartition, chosen, points or None)
        Each partition once.

    Returns
    -------
    list of int
        How many cells were split in each.
    """
    plans = [partition.halving(chosen, at) for partition, chosen, at in requests]
    pairs = [
        (partition.network, plan[0])
        for (partition, *_), plan in zip(requests, plans, strict=True)
        if plan is not None
    ]
    halves = iter(bound_each(pairs))
    return [0 if plan is None else plan[1](next(halves)) for plan in plans]


def refine_together(limits, tolerance):
    """Split the cells of largest gap; what ``CellPartition.refine`` does for one.

    Parameters
    ----------
    limits : list of (CellPartition, int)
        Each partition with the most cells that it may have.
    tolerance : float
    """
    while limits:
        wanted = [
            (partition, partition.worst(limit, tolerance), None)
            for partition, limit in limits
        ]
        counts = split_together([request for request in wanted if request[1].size])
        split = iter(counts)
        limits = [
            pair
            for pair, (_, worst, _) in zip(limits, wanted, strict=True)
            if worst.size and next(split)
        ]
