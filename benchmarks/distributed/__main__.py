"""``python -m benchmarks.distributed``: one thread, whatever numpy was built with."""

import sys

import benchmarks.one_thread  # noqa: F401  (before numpy is loaded)
from benchmarks.distributed.command import main

if __name__ == "__main__":
    sys.exit(main())
