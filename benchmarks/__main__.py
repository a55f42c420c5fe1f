"""``python -m benchmarks``: every set that has a ModelSet, one after the other."""

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when numpy is loaded

from benchmarks.command import main  # noqa: E402

sys.exit(main())
