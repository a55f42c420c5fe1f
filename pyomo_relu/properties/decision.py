"""``verify``: does some input of a network have a property?  Sat, unsat or unknown."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.common.arguments import checked, flag, optional, seconds, whole
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.progress import counting_bar
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import NetworkFileError, PropertyError
from pyomo_relu.network.onnx.reader import load_with_file
from pyomo_relu.properties.attack import attack
from pyomo_relu.properties.handover import by_tree
from pyomo_relu.properties.property import Property
from pyomo_relu.properties.rows import composition_error, row_network
from pyomo_relu.properties.splitting import Splitting
from pyomo_relu.properties.vnnlib import load_vnnlib
from pyomo_relu.properties.witness import Witnesses

if TYPE_CHECKING:
    from onnx import ModelProto

    from pyomo_relu.common.types import FloatArray

SAT, UNSAT, UNKNOWN = "sat", "unsat", "unknown"

#: With more varying inputs than this, neurons are split (by a MILP) and not inputs.
MANY_INPUTS = 20

#: Boxes after which the attack is repeated with other points, then twice as many, ...
_ATTACK_AGAIN = 500

#: Each repetition takes twice the points of the one before, up to so many times the first.
_MOST_POINTS = 64


@dataclass
class VerificationResult:
    """Outcome of ``verify``.

    Attributes
    ----------
    verdict : str
        "sat": the witness has the property.  "unsat": no input has it, proven.
        "unknown": neither; ``message`` says why.
    witness : numpy.ndarray or None, shape (n_inputs,)
        Confirmed by onnxruntime.
    outputs : numpy.ndarray or None, shape (n_outputs,)
        What onnxruntime computes at the witness.
    bound : float
        Proven lower bound of the property's margin, the least over its disjuncts of
        the largest ``left-hand side - right-hand side``; at least 0 for "unsat".
    seconds : float
        Wall time, loading included.
    nodes : int
        Boxes bounded.
    message : str
    """

    verdict: str
    witness: FloatArray | None = None
    outputs: FloatArray | None = None
    bound: float = -np.inf
    seconds: float = 0.0
    nodes: int = 0
    message: str = ""


@checked(PropertyError, time_limit=optional(seconds), progress=flag, seed=whole)
def verify(
    onnx: str | os.PathLike[str] | bytes | ModelProto,
    vnnlib: str | os.PathLike[str] | Property,
    time_limit: float | None = None,
    progress: bool = False,
    *,
    seed: int = 0,
) -> VerificationResult:
    """Decide whether some input has the property of a VNN-LIB file.

    First points are tried (samples, corners, gradient steps).  Then the input box is
    split: all disjuncts share the boxes and one CROWN bound of the network per batch of
    them, with lower slopes optimised for the property's rows.  Networks with more than
    20 varying inputs go to ``relu.branch``, one disjunct after the other, where neurons
    are split by a MILP.

    The verdict "unsat" is about the network in exact arithmetic with the file's
    weights, and about its evaluation in float64: bounds are rounded outward.  A float32
    file may differ from both by its own rounding.  "sat" is about the file: onnxruntime
    confirmed the witness, which lies in the property's box.

    Parameters
    ----------
    onnx : str, os.PathLike, bytes or onnx.ModelProto
        As for ``load_onnx``; also a gzipped file.
    vnnlib : str, os.PathLike or Property
        A VNN-LIB file, plain or gzipped.
    time_limit : float, optional
        Seconds, loading included.
    progress : bool
        Show a bar that counts batches of boxes.
    seed : int
        Of the sampled points.

    Returns
    -------
    VerificationResult

    Raises
    ------
    PropertyError
        The property cannot be read or does not fit the network.
    NetworkError
        The network cannot be read.
    """
    deadline = Deadline(time_limit)
    prop = vnnlib if isinstance(vnnlib, Property) else load_vnnlib(vnnlib)
    network, outputs = load_with_file(_unzipped(onnx))
    _check_sizes(network, prop)
    run = _Run(network, outputs, prop, deadline, seed)
    try:
        with counting_bar(progress, "verify", "batch") as count:
            result = run.decide(count)
    except KeyboardInterrupt:
        result = run.unknown("it was interrupted")
    result.seconds = deadline.elapsed()
    return result


class _Run:
    """One call of ``verify`` after loading."""

    def __init__(self, network, outputs, prop, deadline, seed):
        self.network, self.prop = network, prop
        self.deadline, self.seed = deadline, seed
        self.witnesses = Witnesses(network, outputs, prop)
        self.nodes, self.bound = 0, -np.inf

    def decide(self, count):
        if not self.prop.cases:
            return VerificationResult(
                UNSAT, bound=np.inf, message="no input meets the property's own bounds"
            )
        if not self.prop.constants.size:
            lower = np.array([case.lower for case in self.prop.cases])
            return self._sat() if self.witnesses(lower) else self._undecided()
        rows = row_network(self.network, self.prop)
        if attack(rows, self.prop, self.witnesses, self.deadline, self.seed):
            return self._sat()
        if self.deadline.passed():
            return self._undecided()
        lower = np.min([case.lower for case in self.prop.cases], axis=0)
        upper = np.max([case.upper for case in self.prop.cases], axis=0)
        if np.count_nonzero(lower < upper) > MANY_INPUTS:
            return self._by_tree(rows, count)
        return self._by_splitting(rows, lower, upper, count)

    def _allowance(self, lower, upper, bounds):
        return composition_error(
            self.network, self.prop, lower, upper, bounds.lower, bounds.upper
        )

    def _by_splitting(self, rows, lower, upper, count):
        bounds = crown_bounds(self.network, lower, upper)
        allowance = self._allowance(lower, upper, bounds)
        splitting = Splitting(rows, self.prop, allowance, self.witnesses)
        again = _ATTACK_AGAIN
        while len(splitting):
            if self.deadline.passed():
                return self._undecided()
            found = splitting.work()
            self.nodes, self.bound = splitting.nodes, splitting.bound
            count(boxes=self.nodes, open=len(splitting), bound=self.bound)
            if not found and self.nodes >= again:
                budget = min(again / _ATTACK_AGAIN, _MOST_POINTS)
                again *= 2
                self.seed += 1
                found = attack(
                    rows,
                    self.prop,
                    self.witnesses,
                    self.deadline,
                    self.seed,
                    budget,
                )
            if found:
                return self._sat()
        if splitting.stuck:
            return self._undecided(
                "boxes are left that are too small to be split: the property is met, "
                "or missed, by less than rounding"
            )
        return self._unsat()

    def _by_tree(self, rows, count):
        """One disjunct after the other by the branch and bound on models."""
        left, least = len(self.prop.cases), np.inf
        for case in self.prop.cases:
            bounds = crown_bounds(self.network, case.lower, case.upper)
            allowance = self._allowance(case.lower, case.upper, bounds)
            answer = by_tree(rows, case, allowance, self.deadline.part(left), self.seed)
            left -= 1
            self.nodes += answer.nodes
            count(boxes=self.nodes)
            if answer.point is not None and self.witnesses(answer.point[None]):
                return self._sat()
            least = min(least, answer.bound)
        self.bound = least
        return self._unsat() if least > 0 else self._undecided()

    # -- results ----------------------------------------------------------------------

    def _sat(self):
        message = "onnxruntime confirms the witness"
        return VerificationResult(
            SAT,
            self.witnesses.point,
            self.witnesses.values,
            self.bound,
            nodes=self.nodes,
            message=message,
        )

    def _unsat(self):
        message = f"proven by {counted(self.nodes, 'box')}"
        return VerificationResult(
            UNSAT, bound=self.bound, nodes=self.nodes, message=message
        )

    def _undecided(self, why=None):
        if why is None:
            why = "the time limit was reached"
            if not self.deadline.passed():
                why = "no proof was reached, to the tolerance of the MILP solver"
        if self.witnesses.rejected:
            why += (
                f"; at {counted(self.witnesses.rejected, 'point')} the network has the "
                "property in float64, but onnxruntime, in the file's own precision, "
                "does not confirm it"
            )
        return self.unknown(why)

    def unknown(self, why):
        """The verdict "unknown" for a reason."""
        return VerificationResult(
            UNKNOWN, bound=self.bound, nodes=self.nodes, message=why
        )


def _unzipped(onnx):
    if not isinstance(onnx, (str, os.PathLike)) or not str(onnx).endswith(".gz"):
        return onnx
    try:
        return gzip.decompress(Path(onnx).read_bytes())
    except (OSError, EOFError) as error:
        raise NetworkFileError(
            f"{os.fspath(onnx)}: the file cannot be unpacked ({error}). Give the path "
            "of an ONNX file, plain or gzipped."
        ) from error


def _check_sizes(network, prop):
    for what, ours, theirs in (
        ("input", network.n_inputs, prop.n_inputs),
        ("output", network.n_outputs, prop.n_outputs),
    ):
        if ours != theirs:
            raise PropertyError(
                f"{prop.name}: it declares {counted(theirs, what)}, but the network "
                f"{network.name} has {ours}. Give the files that belong together."
            )
