"""A run's records as three tidy tables, as CSV files and back; nothing is interpreted.

``networks.csv``: one row per trained network; ``layers.csv``: one per network, bound
method and layer; ``solves.csv``: one per solve.  The report reads these files only.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

#: A normalised held-out error above this: hardly better than the mean.
LEARNED_NOTHING = 0.95

_TRAINING = ("problem", "hidden", "training", "family", "strength", "seed")
_FIGURES = {
    "networks": (
        "n_neurons",
        "n_weights",
        "nrmse",
        "max_error",
        "search_minimum",
        "regions_method",
        "regions_exact",
        "regions_lower_bound",
        "regions_upper_bound",
        "regions_n_functions",
        "regions_n_pieces",
        "samples",
        "epochs",
        "batch",
        "training_cpu_seconds",
        "file",
    ),
    "layers": (
        "bounds",
        "layer",
        "size",
        "active",
        "inactive",
        "at_ceiling",
        "stable",
        "unstable",
        "mean_big_m",
        "max_big_m",
        "mean_width",
        "bounds_cpu_seconds",
    ),
    "solves": (
        "units",
        "bounds",
        "formulation",
        "solver",
        "solver_seed",
        "status",
        "objective",
        "dual_bound",
        "gap",
        "relaxation_bound",
        "relaxation_gap",
        "root_bound",
        "root_gap",
        "nodes",
        "iterations",
        "work",
        "solve_seconds",
        "solve_cpu_seconds",
        "preprocessing_seconds",
        "preprocessing_cpu_seconds",
        "n_variables",
        "n_binaries",
        "n_rows",
        "n_nonzeros",
        "smallest_coefficient",
        "largest_coefficient",
        "output_movement",
        "forward_error",
        "true_value",
        "true_minimum",
        "error",
    ),
}
COLUMNS = {
    "networks": ("network", "network_name", *_TRAINING, *_FIGURES["networks"]),
    "layers": ("network", "network_name", *_TRAINING, *_FIGURES["layers"]),
    "solves": ("network", *_TRAINING, "nrmse", *_FIGURES["solves"]),
}
_TEXT = {
    "network",
    "network_name",
    "problem",
    "hidden",
    "training",
    "family",
    "regions_method",
    "file",
    "units",
    "bounds",
    "formulation",
    "solver",
    "status",
    "error",
}
_FLAGS = {"regions_exact"}
#: Keys of trainings that vary what another key does.
_FAMILIES = {"ceiling_quantile": "ceiling"}


@dataclass(frozen=True)
class Tables:
    """The three tables: lists of dicts with the keys of ``COLUMNS``."""

    networks: list
    layers: list
    solves: list

    @classmethod
    def from_records(cls, records):
        """Of a run's records; of two with the same id the later one counts."""
        records = list({r["id"]: r for r in records}.values())
        trainings = {
            r["id"]: r for r in records if r["kind"] == "network" and r["error"] is None
        }
        networks, layers, solves = [], [], []
        for record in trainings.values():
            head = {"network": record["id"], **_training(record)}
            sizes = {
                k: record["options"].get(k) for k in ("samples", "epochs", "batch")
            }
            for figures in record["networks"]:
                file, _ = record["files"][figures["network_name"]]
                row = {**head, **sizes, **figures, "file": file}
                row["training_cpu_seconds"] = record["training_cpu_seconds"]
                networks.append(_pick(row, "networks"))
            for row in record["layers"]:
                unstable = row["size"] - row["stable"]
                layers.append(_pick({**head, **row, "unstable": unstable}, "layers"))
        for record in records:
            of = trainings.get(record.get("network"))
            if record["kind"] == "solve" and of is not None:
                error = max(n["nrmse"] for n in of["networks"])
                row = {**record, **_training(of), "nrmse": error}
                solves.append(_pick(row, "solves"))
        return cls(networks, layers, solves)

    @classmethod
    def read(cls, folder):
        """From the CSV files in a folder."""
        return cls(*(_read(Path(folder) / f"{name}.csv", name) for name in COLUMNS))

    def of_problems(self, names):
        """The tables with the rows of some problems only."""
        return self._where(lambda row: row["problem"] in names)

    def that_learned(self):
        """The tables without networks that are no better than a constant.

        Their problems are trivial, which says nothing about a training that works.
        """
        void = {r["network"] for r in self.networks if r["nrmse"] > LEARNED_NOTHING}
        return self._where(lambda row: row["network"] not in void)

    def _where(self, wanted):
        kept = ([row for row in getattr(self, t) if wanted(row)] for t in COLUMNS)
        return Tables(*kept)

    def write(self, folder):
        """As CSV files, floats with nine significant digits."""
        for name, columns in COLUMNS.items():
            path = Path(folder) / f"{name}.csv"
            with path.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(columns)
                for row in getattr(self, name):
                    writer.writerow([_text(row[column]) for column in columns])


def family_and_strength(options, defaults=("samples", "epochs", "batch")):
    """What a training varies and how much: ("l1", 1e-4); ("plain", 0) if nothing."""
    varied = {
        key: value
        for key, value in options.items()
        if key not in (*defaults, "learning_rate", "held_out", "fine_tune_epochs")
        and value not in (None, 0)
    }
    if not varied:
        return "plain", 0.0
    names = (_FAMILIES.get(key, key) for key in varied)
    return "+".join(names), float(next(iter(varied.values())))


def _training(record):
    family, strength = family_and_strength(record["options"])
    return {
        "problem": record["problem"],
        "hidden": "x".join(map(str, record["hidden"])),
        "training": record["training"],
        "family": family,
        "strength": strength,
        "seed": record["seed"],
    }


def _pick(row, table):
    return {column: row.get(column) for column in COLUMNS[table]}


def _text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"
    return str(value)


def _read(path, table):
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {column: _value(column, row[column]) for column in COLUMNS[table]}
            for row in csv.DictReader(stream)
        ]


def _value(column, text):
    if text == "":
        return None
    if column in _FLAGS:
        return text == "True"
    return text if column in _TEXT else float(text)
