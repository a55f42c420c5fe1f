"""``python -m benchmarks.scenarios``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.scenarios.command import main

sys.exit(main())
