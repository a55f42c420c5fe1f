"""One run in a process of its own: ``python -m benchmarks.comparison.worker SET MODEL ROUTE
LIMIT`` prints the Run as JSON on its last line."""

import json
import logging
import sys
from dataclasses import asdict

from benchmarks.comparison.run import run
from benchmarks.sets import model_set


def main(set_name, model, route, limit):
    """Warm up, run, print."""
    logging.getLogger("pyomo").setLevel(logging.ERROR)
    models, limit = model_set(set_name), float(limit)
    run(models, models.warm_up, route, min(limit, 2.0))
    print(json.dumps(asdict(run(models, model, route, limit))))


if __name__ == "__main__":
    main(*sys.argv[1:])
