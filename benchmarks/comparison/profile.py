"""Performance profiles: which share of the models a route proves within a factor of the best.

Dolan and More, Benchmarking optimization software with performance profiles, Mathematical
Programming 91 (2002).
"""

import numpy as np

from benchmarks.comparison.table import regrets
from pyomo_relu.common.table import format_table

#: Factors in the table.
FACTORS = (1.0, 1.5, 2.0, 5.0, 10.0, 100.0)


def profile(runs):
    """{route: sorted factors of the models that it proves}, and the number of models."""
    found = {route: [] for route in dict.fromkeys(one.route for one in runs)}
    for one, regret in zip(runs, regrets(runs), strict=True):
        if one.proven:
            found[one.route].append(regret)
    n_models = len({one.model for one in runs})
    return {route: np.sort(factors) for route, factors in found.items()}, n_models


def profile_table(runs):
    """Per cent of the models that are proven within factors of the best route."""
    factors, n_models = profile(runs)
    rows = [
        (route, *(f"{100 * np.sum(each <= f) / n_models:.0f}" for f in FACTORS))
        for route, each in factors.items()
    ]
    head = "% proven within", *(f"{f:g} x best" for f in FACTORS)
    return format_table(head, rows)


def draw_profile(runs, path):
    """The profile as a picture."""
    import matplotlib.pyplot as plt

    factors, n_models = profile(runs)
    longest = max((f[-1] for f in factors.values() if f.size), default=1.0)
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    styles = ["-", "--", "-.", ":"]
    for i, (route, each) in enumerate(factors.items()):
        x = np.concatenate([[1.0], each, [2 * longest]])
        y = np.arange(each.size + 1) / n_models
        line = styles[i % len(styles)]
        ax.step(x, np.append(y, y[-1]), line, where="post", label=route, linewidth=2)
    ax.set(
        xscale="log",
        xlim=(1.0, 2 * longest),
        ylim=(0, 1.02),
        xlabel="seconds / seconds of the model's best route",
        ylabel="share of models proven",
    )
    ax.legend(loc="lower right")
    fig.savefig(path, dpi=150)
    plt.close(fig)
