"""Rows of the report's tables, computed from the study's tables; no prose, no files."""

from pyomo_relu.study.statistics.aggregate import (
    LEAST_SECONDS,
    SHIFT,
    UNSOLVED,
    effort_column,
    geometric_mean,
    group,
    mean,
    paired_ratio,
    select,
)

#: What must agree for two networks to differ in training only.
PAIR = ("problem", "hidden", "seed")
#: What must agree for two solves to differ in bounds or formulation only.
SOLVE_PAIR = ("network", "solver", "solver_seed")
BASE_FORMULATION = "relu.bigm"


def deep(rows):
    """Rows of networks with more than one hidden layer."""
    return [row for row in rows if "x" in row["hidden"]]


def main_solver(solves):
    """The solver with most solves."""
    counts = {solver: len(rows) for (solver,), rows in group(solves, "solver").items()}
    return max(counts, key=counts.get) if counts else None


def compared_solves(tables, bounds):
    """Solves that compare trainings: main solver, big-M rows, one bound method."""
    return select(
        [r for r in tables.solves if r["objective"] is not None],
        solver=main_solver(tables.solves),
        formulation=BASE_FORMULATION,
        bounds=bounds,
        units="raw",
    )


def ratio_to_plain(rows, everything, column, shift=0.0):
    """Paired ratio of a figure to the plain training's."""
    plain = select(everything, family="plain")
    return paired_ratio(rows, plain, column, *PAIR, shift=shift)


def effort_ratio(rows, base, *keys, column=None):
    """Paired ratio of the effort of solves that take long enough to be compared.

    ``column`` is ``effort_column`` of all the solves unless given.
    """
    column = effort_column(rows + base) if column is None else column
    return paired_ratio(
        rows,
        base,
        column,
        *keys,
        shift=SHIFT[column],
        least=("solve_cpu_seconds", LEAST_SECONDS),
    )


def network_stability(layers, method):
    """One row per network: stable neurons, mean width, last layer's mean width."""
    rows = []
    for members in group(select(layers, bounds=method), "network").values():
        last = max(members, key=lambda r: r["layer"])
        size = sum(r["size"] for r in members)
        width = sum(r["size"] * r["mean_width"] for r in members)
        rows.append(
            {
                **last,
                "share": sum(r["stable"] for r in members) / size,
                "unstable": sum(r["unstable"] for r in members),
                "last_width": last["mean_width"],
                "width": width / size,
            }
        )
    return rows


def training_table(tables, hidden, problem):
    """Header and rows: what each training did on one problem and architecture."""
    networks = select(tables.networks, hidden=hidden, problem=problem)
    stable = select(
        network_stability(tables.layers, "lp"), hidden=hidden, problem=problem
    )
    widths = select(
        network_stability(tables.layers, "interval"), hidden=hidden, problem=problem
    )
    solves = {
        b: select(compared_solves(tables, b), hidden=hidden, problem=problem)
        for b in ("interval", "lp")
    }
    columns = {b: effort_column(rows) for b, rows in solves.items()}
    header = [
        "training",
        "networks",
        "error",
        "regions",
        "stable (lp)",
        "last width (IA)",
        "binaries",
        "nodes",
        f"{columns['interval']} (IA)",
        f"{columns['lp']} (lp)",
        "unsolved",
    ]
    rows = []
    for (training,), members in group(networks, "training").items():
        runs = {b: select(r, training=training) for b, r in solves.items()}
        both = runs["interval"] + runs["lp"]
        rows.append(
            [
                training,
                len(members),
                mean([r["nrmse"] for r in members]),
                _whole(geometric_mean([r["regions_lower_bound"] for r in members])),
                mean([r["share"] for r in select(stable, training=training)]),
                geometric_mean(
                    [r["last_width"] for r in select(widths, training=training)]
                ),
                mean([r["n_binaries"] for r in runs["lp"]]),
                _whole(geometric_mean([r["nodes"] for r in runs["lp"]], 1.0)),
                *(
                    geometric_mean([r[columns[b]] for r in runs[b]], SHIFT[columns[b]])
                    for b in ("interval", "lp")
                ),
                sum(r["status"] in UNSOLVED for r in both),
            ]
        )
    return header, rows


def lever_table(tables):
    """Header and rows: every training against plain, over all problems and sizes."""
    networks = deep(tables.networks)
    stable = deep(network_stability(tables.layers, "lp"))
    solves = deep(compared_solves(tables, "lp"))
    interval = deep(compared_solves(tables, "interval"))
    header = [
        "training",
        "pairs",
        "error",
        "regions",
        "unstable (lp)",
        "effort (IA)",
        "effort (lp)",
        "95 % interval",
        "at a limit",
        "nodes (lp)",
        "cpu seconds (lp)",
    ]
    rows = []
    for (training,), members in group(networks, "training").items():
        if training == "plain":
            continue
        runs = select(solves, training=training)
        plain = select(solves, family="plain")
        effort = effort_ratio(runs, plain, *PAIR)
        other = effort_ratio(
            select(interval, training=training),
            select(interval, family="plain"),
            *PAIR,
        )
        unstable = ratio_to_plain(
            select(stable, training=training), stable, "unstable", shift=1.0
        )
        rows.append(
            [
                training,
                effort.pairs,
                ratio_to_plain(members, networks, "nrmse").value,
                ratio_to_plain(members, networks, "regions_lower_bound").value,
                unstable.value,
                other.value,
                effort.value,
                "-"
                if effort.value is None
                else "{:.3g} to {:.3g}".format(*effort.interval),
                effort.censored,
                effort_ratio(runs, plain, *PAIR, column="nodes").value,
                effort_ratio(runs, plain, *PAIR, column="solve_cpu_seconds").value,
            ]
        )
    return header, rows


def trade_off_table(tables):
    """Header and rows: what each training's accuracy lost buys in solve time.

    Differences to plain training of means over seeds; seconds are processor seconds of
    the solve with lp bounds.
    """
    solves = deep(compared_solves(tables, "lp"))
    header = [
        "problem",
        "hidden",
        "training",
        "error",
        "error - plain's",
        "seconds",
        "seconds saved",
        "seconds saved per 0.01 of error",
    ]
    rows = []
    for (problem, hidden), members in group(solves, "problem", "hidden").items():
        plain = select(members, family="plain")
        if not plain:
            continue
        error, seconds = _means(plain)
        for (training,), runs in group(members, "training").items():
            its_error, its_seconds = _means(runs)
            lost, saved = its_error - error, seconds - its_seconds
            price = saved / lost * 0.01 if lost > 1e-3 else None
            row = [problem, hidden, training, its_error, lost, its_seconds, saved]
            rows.append([*row, price])
    return header, rows


def _means(rows):
    return mean([r["nrmse"] for r in rows]), mean(
        [r["solve_cpu_seconds"] for r in rows]
    )


def encoding_table(tables, hidden):
    """Header and rows: bounds and formulations on the plain networks of one shape."""
    rows = [r for r in tables.solves if r["objective"] is not None]
    rows = select(rows, family="plain", hidden=hidden, units="raw")
    rows = [r for r in rows if r["n_binaries"] is not None]
    header = [
        "solver",
        "bounds",
        "formulation",
        "solves",
        "binaries",
        "relaxation gap",
        "nodes",
        "work",
        "cpu seconds",
        "preprocessing cpu seconds",
        "unsolved",
    ]
    result = []
    for key, members in group(rows, "solver", "bounds", "formulation").items():
        result.append(
            [
                *key,
                len(members),
                mean([r["n_binaries"] for r in members]),
                geometric_mean([r["relaxation_gap"] for r in members], 1e-3),
                _whole(geometric_mean([r["nodes"] for r in members], 1.0)),
                geometric_mean([r["work"] for r in members], SHIFT["work"]),
                geometric_mean([r["solve_cpu_seconds"] for r in members], 0.01),
                geometric_mean([r["preprocessing_cpu_seconds"] for r in members], 1e-3),
                sum(r["status"] in UNSOLVED for r in members),
            ]
        )
    return header, sorted(result, key=lambda r: r[:3])


def growth_table(tables):
    """Header and rows: mean width per layer, plain networks, and growth per layer."""
    layers = deep(select(tables.layers, family="plain"))
    depth = int(max((r["layer"] for r in layers), default=0)) + 1
    header = ["hidden", "bounds", *(f"layer {k + 1}" for k in range(depth)), "growth"]
    rows = []
    for (hidden, bounds), members in group(layers, "hidden", "bounds").items():
        widths = {
            int(layer): geometric_mean([r["mean_width"] for r in rs])
            for (layer,), rs in group(members, "layer").items()
        }
        rows.append(
            [hidden, bounds, *(widths.get(k) for k in range(depth)), growth(widths)]
        )
    return header, rows


def growth(widths):
    """Factor per layer from the first to the last width; None for one layer."""
    first, last = min(widths), max(widths)
    if first == last or not widths[first]:
        return None
    return (widths[last] / widths[first]) ** (1 / (last - first))


def _whole(value):
    return None if value is None else round(value)
