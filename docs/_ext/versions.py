"""``{versions}``: what constraints.txt pins of what the package needs, as a table."""

import re
from configparser import ConfigParser
from pathlib import Path

from packaging.markers import Marker
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]

#: The Pythons that constraints.txt is resolved for.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EVERY = f"{PYTHONS[0]} to {PYTHONS[-1]}"


def _pythons(marker):
    """Those of ``PYTHONS`` that a requirement's marker is true for, as text."""
    true = [
        python
        for python in PYTHONS
        if Marker(marker).evaluate(
            {"python_full_version": f"{python}.9", "sys_platform": "linux"}
        )
    ]
    if len(true) < 3:
        return ", ".join(true)
    return f"{true[0]} to {true[-1]}"


def _canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements():
    """(package, least version, who needs it) as setup.cfg declares them."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    groups = {"the package": config["options"]["install_requires"]}
    groups.update(
        (f"extra `{name}`", text)
        for name, text in config["options.extras_require"].items()
    )
    seen = set()
    for group, text in groups.items():
        for line in text.split():
            name, _, least = line.partition(">=")
            name = name.split("[")[0]
            if least and name not in seen:
                seen.add(name)
                yield name, least, group


def pinned():
    """{package: [(version, Pythons)]} of constraints.txt."""
    versions = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        match = re.fullmatch(r"([\w.-]+)==([^ ;]+)(?: ; (.*))?", line)
        if match:
            name, version, marker = match.groups()
            pythons = _pythons(marker) if marker else EVERY
            if pythons:
                versions.setdefault(_canonical(name), []).append((version, pythons))
    return versions


def table():
    """The table in Markdown."""
    tested = pinned()
    lines = ["| package | needed by | at least | tested |", "| --- | --- | --- | --- |"]
    for name, least, group in requirements():
        found = tested.get(_canonical(name), [])
        text = "; ".join(
            version if pythons == EVERY else f"{version} (Python {pythons})"
            for version, pythons in found
        )
        lines.append(f"| {name} | {group} | {least} | {text or 'newest'} |")
    return "\n".join(lines)


class Versions(SphinxDirective):
    """The table of tested versions."""

    def run(self):
        """Read both files anew whenever the page is built."""
        for file in ("constraints.txt", "setup.cfg"):
            self.env.note_dependency(str(ROOT / file))
        return self.parse_text_to_nodes(table())


def setup(app):
    """Register the directive."""
    app.add_directive("versions", Versions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
