"""``python -m benchmarks.surrogatelib``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.surrogatelib.command import main

sys.exit(main())
