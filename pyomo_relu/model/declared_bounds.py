"""Var bounds as the modeller declared them, without what was tightened since."""

from typing import NamedTuple

from pyomo.core.base.block import Block
from pyomo.gdp import Disjunct

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.records.var_bounds import ends


class Piece(NamedTuple):
    """A run of a bound method, or an encoding, that is in force on a model.

    Parameters
    ----------
    stamp : int
        Later pieces have larger ones.
    source : BoundsRun or Encoding
    variables : TightenedVars
        What it tightened.
    """

    stamp: int
    source: object
    variables: object


def pieces_in_force(model):
    """All Pieces on a model's network blocks, active or not, the newest one first."""
    found = {}
    for block in model.block_data_objects(active=None, descend_into=(Block, Disjunct)):
        if not isinstance(block, ReLUNetworkBlockData):
            continue
        encoding = block.record.encoding
        if encoding is not None:
            found[id(encoding)] = Piece(encoding.stamp, encoding, encoding.saved)
        for run in block.record.runs:
            found[id(run)] = Piece(run.stamp, run, run.variables)
    return sorted(found.values(), key=lambda piece: -piece.stamp)


def declared_sides(model):
    """{(id(var), side): declared bound} of all sides that were tightened."""
    sides = {}
    for piece in pieces_in_force(model):
        piece.variables.modellers(sides)
    return sides


def declared_bounds(surrounding):
    """Bounds of a Surrounding's columns without what was tightened.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n_columns,)
    """
    linear, sides = surrounding.linear, {}
    if surrounding.blocks:
        sides = declared_sides(surrounding.blocks[0].model())
    lower, upper = linear.lower.copy(), linear.upper.copy()
    for j, var in enumerate(surrounding.variables):
        if not var.fixed:
            lower[j], upper[j] = ends(var, sides, surrounding.fixed_permanent)
    return lower, upper
