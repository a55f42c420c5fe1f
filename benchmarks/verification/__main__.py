"""``python -m benchmarks.verification``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.verification.command import main

sys.exit(main())
