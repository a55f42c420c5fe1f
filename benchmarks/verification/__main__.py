"""``python -m benchmarks.verification``: one thread, whatever numpy was built with."""

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when numpy is loaded

from benchmarks.verification.command import main  # noqa: E402

sys.exit(main())
