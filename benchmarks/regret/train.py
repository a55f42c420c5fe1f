"""Trains the set's own surrogates into ``networks``: ``python -m benchmarks.regret.train``.

What is there already is left; ``manifest.json`` records how each was made.  The seed is
that of ``TrainingOptions``, 0; torch gives equal files on equal machines.
"""

import hashlib

from benchmarks.regret.responses import RESPONSES
from benchmarks.regret.surrogates import OWN
from pyomo_relu.study.train_networks import record
from pyomo_relu.study.training.training import TrainingOptions, train

#: name -> sizes of the hidden layers
HIDDEN = {
    "product": (15, 15),
    "by_product": (12, 12),
    "boiler_a": (6, 6),
    "boiler_b": (6, 6),
    "boiler_c": (6, 6),
    "pumps": (8, 8),
    "chiller": (8, 8),
    "stage": (10, 10),
    "plant": (10, 10),
    "compressor": (12, 12),
    "lot": (12, 12),
    "ridges_5": (16, 16),
    "shared_5_first": (10, 10),
    "shared_5_second": (10, 10),
    "shared_7_first": (10, 10),
    "shared_7_second": (10, 10),
    "ridges_10": (15, 15),
}


def make(name, folder):
    """Train one surrogate into a folder and enter it in the folder's manifest."""
    response = RESPONSES[name]
    options = TrainingOptions(HIDDEN[name], samples=6_000, epochs=60, batch=256)
    trained = train(response, options)
    path = folder / f"{name}.onnx"
    trained.write_onnx(path)
    entry = {
        "lower": list(response.lower),
        "upper": list(response.upper),
        "held_out_nrmse": round(trained.nrmse, 6),
        **options.to_dict(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    record(name, entry, folder)
    return trained.nrmse


def main():
    """Train what is missing."""
    OWN.mkdir(exist_ok=True)
    for name in HIDDEN:
        if not (OWN / f"{name}.onnx").exists():
            print(f"{name}: held-out error {make(name, OWN):.3g} (normalised)")


if __name__ == "__main__":
    main()
