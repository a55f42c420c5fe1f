"""``python -m benchmarks.regret``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.regret.command import main

sys.exit(main())
