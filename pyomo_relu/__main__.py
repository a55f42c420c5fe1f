"""``python -m pyomo_relu``: the command line."""

import sys

from pyomo_relu.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
