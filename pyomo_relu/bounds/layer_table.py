"""What bounds say, one row per layer: the table that blocks and records of bounds show."""

import numpy as np

#: Its head; ``layer_rows`` gives the rows.
LAYER_HEADER = ("layer", "neurons", "stable", "mean width", "largest M", "sources")


def layer_rows(bounds):
    """One row per layer of a ``NeuronBounds``, the outputs last.

    Returns
    -------
    list of tuple
        Position or "out", neurons, stable ones (an empty text for the outputs), mean of
        U - L, largest of -L and U, and how many bounds each method proved.
    """
    rows, last = [], len(bounds.network.layers) - 1
    for k, layer in enumerate(bounds.network.layers):
        sources, counts = np.unique(bounds.source[k], return_counts=True)
        proven_by = zip(sources, counts, strict=True)
        rows.append(
            (
                "out" if k == last else str(k),
                layer.size,
                "" if k == last else int(bounds.stable(k).sum()),
                bounds.mean_width(k),
                float(np.max(np.maximum(-bounds.lower[k], bounds.upper[k]))),
                ", ".join(f"{source} {count}" for source, count in proven_by),
            )
        )
    return rows
