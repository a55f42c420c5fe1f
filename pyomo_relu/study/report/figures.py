"""Pictures of the study as PNG bytes, drawn from table rows; matplotlib on first use."""

import io

import numpy as np

from pyomo_relu import plot
from pyomo_relu.plot.style import COLOURS, colour, logarithmic
from pyomo_relu.study.statistics.aggregate import (
    effort_column,
    geometric_mean,
    group,
    performance_profile,
    select,
)

#: Drawn in this order, so that a training keeps its colour in every picture.
FAMILIES = (
    "plain",
    "l1",
    "l2",
    "dropout",
    "ceiling",
    "bound_width",
    "stability",
    "prune",
    "sparsify",
)
METHODS = (
    "interval",
    "scaled interval",
    "crown",
    "split",
    "lp",
    "scaled lp",
    "all",
    "model",
)


def family_label(family):
    """A family's name for people."""
    return family.replace("_", " ").replace("ceiling", "clipped (ceiling)")


def region_partitions(panels):
    """Linear regions in the plane, coloured by the slope's direction and size.

    Parameters
    ----------
    panels : list of (title, RegionCount, lower, upper)
        With regions that have vertices; networks with two inputs and one output.

    Returns
    -------
    bytes
    """
    plt = _pyplot()
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import hsv_to_rgb

    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 3.5 * rows), squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, count, lower, upper) in zip(axes.flat, panels, strict=False):
        slopes = np.array([r.weights[0] for r in count.regions])
        size = np.linalg.norm(slopes, axis=1)
        angle = np.arctan2(slopes[:, 1], slopes[:, 0]) / (2 * np.pi) % 1
        shade = size / size.max() if size.max() > 0 else size
        colours = hsv_to_rgb(
            np.column_stack([angle, 0.15 + 0.75 * np.sqrt(shade), 0.95 + 0 * shade])
        )
        axis.add_collection(
            PolyCollection(
                [r.vertices for r in count.regions],
                facecolors=colours,
                edgecolors="black",
                linewidths=0.15,
            )
        )
        axis.set_xlim(lower[0], upper[0])
        axis.set_ylim(lower[1], upper[1])
        axis.set_aspect("equal")
        axis.set_title(f"{title}\n{count.lower_bound} regions", fontsize=9)
        axis.tick_params(labelsize=7)
    return _png(figure, dpi=75)


def regions_against_penalty(networks):
    """Regions relative to the plain network, against each penalty's strength.

    Returns
    -------
    bytes or None
        None if there is nothing to draw.
    """
    from pyomo_relu.study.statistics.report_tables import ratio_to_plain

    families = [f for f in FAMILIES if f not in ("plain", "prune", "sparsify")]
    curves = {}
    for family in families:
        rows = select(networks, family=family)
        for (strength,), members in sorted(group(rows, "strength").items()):
            ratio = ratio_to_plain(members, networks, "regions_lower_bound")
            if ratio.value is not None:
                curves.setdefault(family, []).append((strength, ratio.value))
    if not curves:
        return None
    plt = _pyplot()
    figure, axes = plt.subplots(
        1, len(curves), figsize=(2.4 * len(curves), 3), sharey=True, squeeze=False
    )
    for axis, (family, points) in zip(axes.flat, curves.items(), strict=False):
        x, y = zip(*points, strict=False)
        axis.plot(x, y, "o-", color=_colour(family))
        axis.axhline(1, color="grey", linewidth=0.8)
        logarithmic(axis, "x", "y")
        axis.set_xticks(x)
        axis.set_title(family_label(family), fontsize=9)
        axis.set_xlabel("strength", fontsize=8)
    axes.flat[0].set_ylabel("linear regions / plain's", fontsize=8)
    return _png(figure)


def stable_share(layers):
    """Share of stable neurons per bound method, one group of bars per training."""
    plt = _pyplot()
    methods = [m for m in METHODS if not m.startswith("scaled")]
    methods = [m for m in methods if select(layers, bounds=m)]
    trainings = list(group(layers, "training"))
    figure, axis = plt.subplots(figsize=(max(6, 0.7 * len(trainings)), 3.6))
    width = 0.8 / max(len(methods), 1)
    for j, method in enumerate(methods):
        shares = []
        for (training,) in trainings:
            rows = select(layers, training=training, bounds=method)
            size = sum(r["size"] for r in rows)
            shares.append(sum(r["stable"] for r in rows) / size if size else 0)
        x = np.arange(len(trainings)) + (j - (len(methods) - 1) / 2) * width
        axis.bar(x, shares, width, label=method)
    axis.set_xticks(np.arange(len(trainings)), [t for (t,) in trainings])
    axis.tick_params(axis="x", labelrotation=60, labelsize=8)
    axis.set_ylabel("share of stable neurons")
    axis.legend(title="bounds", fontsize=8)
    return _png(figure)


def profiles(solves):
    """Performance profiles of bounds and encodings on plain networks.

    One panel for bounds with and without scaling, one for other formulations against
    big-M rows, one per further solver; each over the instances that all of its curves
    have.  Raw units, the networks' own functions.  None if there is nothing to compare.
    """
    panels = []
    solves = [r for r in solves if r["output_movement"] is None]
    solves = select(solves, family="plain", units="raw")
    for (solver,), rows in group(solves, "solver").items():
        usual = select(rows, formulation=("relu.bigm", "relu.scaled"))
        others = [
            r for r in rows if r["formulation"] not in ("relu.bigm", "relu.scaled")
        ]
        reference = select(rows, formulation="relu.bigm", bounds=("lp", "all"))
        for members in (usual, others + reference if others else []):
            column = effort_column(members)
            curves = performance_profile(
                members,
                ("bounds", "formulation"),
                ("problem", "hidden", "seed", "solver_seed"),
                column,
            )
            if len(curves) > 1 and any(len(x) for x, _ in curves.values()):
                panels.append((f"{solver}: {effort_label(column)}", curves))
    if not panels:
        return None
    plt = _pyplot()
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels), 3.8), squeeze=False
    )
    for axis, (title, curves) in zip(axes.flat, panels, strict=False):
        for (bounds, formulation), (x, y) in curves.items():
            style = "--" if formulation != "relu.bigm" else "-"
            label = f"{bounds}, {formulation}"
            axis.step([1, *x], [0, *y], style, where="post", label=label)
        logarithmic(axis, "x")
        axis.set_ylim(0, 1.02)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("factor of the best")
        axis.legend(fontsize=7, loc="lower right")
    axes.flat[0].set_ylabel("share of instances solved")
    return _png(figure)


def accuracy_against_effort(solves):
    """Held-out error against effort, one panel per problem, one colour per family."""
    plt = _pyplot()
    problems = list(group(solves, "problem"))
    figure, axes = plt.subplots(
        1, len(problems), figsize=(5 * len(problems), 4.4), squeeze=False
    )
    column, shown = effort_column(solves), {}
    for axis, (name,) in zip(axes.flat, problems, strict=False):
        rows = select(solves, problem=name)
        plot.accuracy_against_effort(rows, effort=column, order=FAMILIES, ax=axis)
        axis.set_title(name, fontsize=12)
        shown |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
        axis.get_legend().remove()
        if axis is not axes.flat[0]:
            axis.set_ylabel("")
    axes.flat[-1].legend(shown.values(), shown, loc="upper left", bbox_to_anchor=(1, 1))
    return _png(figure)


def growth_with_depth(layers):
    """Mean width of the bounds per layer and method, one panel per architecture."""
    plt = _pyplot()
    rows = select(layers, family="plain")
    shapes = [h for (h,) in group(rows, "hidden") if "x" in h]
    figure, axes = plt.subplots(
        1, len(shapes), figsize=(3.6 * len(shapes), 3.6), sharey=True, squeeze=False
    )
    for axis, hidden in zip(axes.flat, shapes, strict=False):
        for method in METHODS:
            members = select(rows, hidden=hidden, bounds=method)
            by_layer = sorted(group(members, "layer").items())
            if not by_layer:
                continue
            x = [int(layer) + 1 for (layer,), _ in by_layer]
            y = [geometric_mean([r["mean_width"] for r in rs]) for _, rs in by_layer]
            style = "o--" if method.startswith("scaled") else "o-"
            axis.plot(x, y, style, label=method)
        logarithmic(axis, "y")
        axis.set_xticks(x)
        axis.set_title(hidden, fontsize=9)
        axis.set_xlabel("hidden layer")
    axes.flat[0].set_ylabel("mean of U - L")
    axes.flat[-1].legend(fontsize=7)
    return _png(figure)


def effort_label(column):
    """The name of an effort figure for people."""
    return {
        "work": "Gurobi work units",
        "solve_cpu_seconds": "processor seconds",
    }.get(column, column)


def _colour(family):
    return colour(FAMILIES.index(family)) if family in FAMILIES else "black"


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)
    return plt


def _png(figure, dpi=110):
    import matplotlib.pyplot as plt
    from PIL import Image  # matplotlib needs it too

    figure.tight_layout()
    drawn, stream = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    plt.close(figure)
    # 128 colours take a third of the space; no metadata: equal data, equal bytes
    picture = Image.open(drawn).convert("RGB").quantize(128)
    picture.save(stream, format="png", optimize=True)
    return stream.getvalue()
