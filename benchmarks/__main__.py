"""``python -m benchmarks``: every set that has a ModelSet, one after the other."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.command import main

sys.exit(main())
