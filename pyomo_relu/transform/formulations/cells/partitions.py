"""The cells of relu.cells to begin with: how many there may be, shared by alike networks."""

#: Cells by the number of inputs that vary; measured with 64 to 512 cells on networks of
#: 2x25 to 5x25, for two inputs alone and coupled, for three alone.
_MAX_CELLS = {0: 1, 1: 256, 2: 192, 3: 448}
_MANY_INPUTS = 256

#: So many cells are placed before the model's relaxation is looked at.
_FIRST_CELLS = 32


def default_cells(free):
    """The most cells of a network with so many varying inputs, unless told."""
    return _MAX_CELLS.get(free, _MANY_INPUTS)


def first_cells(wanted, config):
    """The partitions to start from.

    Networks that are alike on one box get copies of one; what differs in the box only
    is bounded in batches.

    Parameters
    ----------
    wanted : list of (NeuronBounds, rows or None, int)
        Of each block the bounds, the rows on its cells and the most cells.
    """
    from pyomo_relu.bounds.cells.boxes import bound_each, refine_together, whole_box
    from pyomo_relu.bounds.cells.partition import CellPartition
    from pyomo_relu.bounds.cells.pieces import affine_pieces

    keys = [
        (bounds.content, limit, *(part.tobytes() for part in rows or ()))
        for bounds, rows, limit in wanted
    ]
    distinct = dict(zip(keys, wanted, strict=True))
    found = {}
    for key, (bounds, rows, limit) in distinct.items():
        if bounds.n_varying <= 1:
            found[key] = affine_pieces(bounds, limit, rows)
    left = {key: one for key, one in distinct.items() if found.get(key) is None}
    roots = bound_each([(b.network, whole_box(b)) for b, *_ in left.values()])
    limits = []
    for (key, (bounds, rows, limit)), root in zip(left.items(), roots, strict=True):
        found[key] = CellPartition(bounds, rows, root)
        first = min(limit, _FIRST_CELLS) if config.guided else limit
        limits.append((found[key], first))
    refine_together(limits, config.tolerance)
    return [found[key].copy() for key in keys]
