"""A run's folder: one append-only file of results, and the networks; runs nothing.

``records.jsonl`` gets one line per finished case, written and flushed at once.  A line
that a kill tore is cut off when the run goes on, so at most the case in hand is lost.
"""

import hashlib
import json
import os
from pathlib import Path

from pyomo_relu.study.training.export import write_atomically


class RunFolder:
    """The folder that one run of the study writes to.

    Parameters
    ----------
    path : path
        Made if it is not there.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.networks = self.path / "networks"
        self.networks.mkdir(parents=True, exist_ok=True)
        self.file = self.path / "records.jsonl"

    def load(self):
        """All complete records in order of writing; a torn last line is left out.

        Raises
        ------
        ValueError
            If a line that is not the last one is damaged.
        """
        if not self.file.exists():
            return []
        lines = self.file.read_bytes().split(b"\n")
        records = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                records.append(json.loads(line))
            except ValueError as error:  # also bytes that are not UTF-8
                if number == len(lines):  # no newline behind it: torn
                    break
                raise ValueError(
                    f"{self.file}, line {number} is damaged: {error}. Remove the line; "
                    "its case will be run again."
                ) from error
        return records

    def append(self, record):
        """Write one record; it is on disk when this returns.

        A line that an interrupt tore is cut off before.
        """
        self.repair()
        line = json.dumps(record, allow_nan=False, sort_keys=True).encode() + b"\n"
        with self.file.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def repair(self):
        """Cut off a torn last line, so that the next record begins on a new one."""
        if not self.file.exists():
            return
        with self.file.open("r+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end == 0:
                return
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)

    def save_networks(self, case, networks):
        """Write ONNX files of a training; returns {network name: (file name, hash)}."""
        saved = {}
        for name, data in networks.items():
            file = f"{case}_{name}.onnx"
            write_atomically(self.networks / file, data)
            saved[name] = [file, hashlib.sha256(data).hexdigest()]
        return saved

    def load_networks(self, record):
        """{network name: bytes} of a training's record, or None if a file is gone."""
        networks = {}
        for name, (file, digest) in record["files"].items():
            path = self.networks / file
            if not path.exists():
                return None
            networks[name] = path.read_bytes()
            if hashlib.sha256(networks[name]).hexdigest() != digest:
                return None
        return networks
