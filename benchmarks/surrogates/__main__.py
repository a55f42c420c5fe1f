"""``python -m benchmarks.surrogates``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.surrogates.command import main

sys.exit(main())
