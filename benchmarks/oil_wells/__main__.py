"""``python -m benchmarks.oil_wells``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.oil_wells.command import main

sys.exit(main())
