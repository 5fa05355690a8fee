"""Write docs/figures.md from what the parts of `make chaos` measured.

A part leaves a list of figures, each with name, value, unit, floor_or_peer, target and stack. Whether a target is held
is seen from value and target (`≥ 300`, `≤ 10 s`, `0`), unless the figure says so itself (`holds`).
"""

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsplatform.adapters.terraform import Terraform, find_terraform
from tests.support import ROOT

PAGE = ROOT / "docs" / "figures.md"
KEPT = ROOT / "instance" / "figures"
FIELDS = ("name", "value", "unit", "target", "floor_or_peer")
TARGET = re.compile(r"(?P<sign>[≥≤<>=]?) ?(?P<number>[0-9.]+)(?: \S+)?")
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "≥": lambda value, limit: value >= limit,
    "≤": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
    "=": lambda value, limit: value == limit,
    "": lambda value, limit: value == limit,
}
COLUMNS = ("| figure | value | floor or peer | target | | stack |", "|---|---:|---|---|---|---|")
VERDICTS = {True: "held", False: "**MISSED**", None: ""}
HEAD = """# Figures

Made by `make chaos` out of what its parts measured; nobody edits it. Each figure stands beside its floor or peer, which
was measured in the same run, and its target. [promise.md](promise.md) says what is tested and how to repeat it.
"""


@dataclass(frozen=True)
class Measured:
    """What one part measured, and when."""

    title: str
    at: float
    figures: Sequence[Mapping[str, Any]]


def listed(stack: str, *rows: tuple[object, ...]) -> list[dict[str, object]]:
    """Figures out of rows of name, value, unit, target and, where there is one, floor or peer."""
    return [{**dict(zip(FIELDS, (*row, ""), strict=False)), "stack": stack} for row in rows]


def keep(path: Path | None, figures: Sequence[Mapping[str, object]]) -> None:
    """Leave the figures of a part for the page, if that was asked for."""
    if path:
        path.write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")


def read(title: str, path: Path) -> Measured | None:
    """What a part left, or None when it was never run here."""
    if not path.is_file():
        return None
    return Measured(title, path.stat().st_mtime, json.loads(path.read_text(encoding="utf-8")))


def holds(figure: Mapping[str, Any]) -> bool | None:
    """Whether its target is held; None when it has none."""
    if "holds" in figure:
        return figure["holds"]
    if not figure["target"]:
        return None
    target = TARGET.fullmatch(figure["target"])
    if target is None:
        raise ValueError(f"{figure['name']}: {figure['target']} is not a target that can be compared")
    return SIGNS[target["sign"]](float(figure["value"]), float(target["number"]))


def page(parts: Sequence[Measured], facts: Mapping[str, str]) -> str:
    """The whole page."""
    newest = time.strftime("%Y-%m-%d", time.gmtime(max((part.at for part in parts), default=0.0)))
    verdicts = [holds(figure) for part in parts for figure in part.figures]
    counted = f"{verdicts.count(True)} targets held, {verdicts.count(False)} missed."
    about = "\n".join(f"- {name}: {value}" for name, value in {"date": newest, **facts}.items())
    return "\n".join([HEAD, f"{counted}\n", about, *(_section(part) for part in parts)]) + "\n"


def missed(parts: Sequence[Measured]) -> list[str]:
    """The figures that are not as they should be."""
    return [f"{part.title}: {each['name']}" for part in parts for each in part.figures if holds(each) is False]


def machine() -> dict[str, str]:
    """Where it was measured."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    with tempfile.TemporaryDirectory() as folder:
        terraform = Terraform(find_terraform(os.environ.get("TERRAFORM_BIN", ""), Path(folder))).version()
    servers = {
        "PostgreSQL": ("psql", "--version"),
        "MariaDB": ("mariadb", "--version"),
        "Redis": ("redis-server", "-v"),
    }
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages * size / 2**30:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Terraform": terraform,
        **{name: _version(command) for name, command in servers.items()},
    }


def _section(part: Measured) -> str:
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(part.at))
    return "\n".join([f"\n## {part.title}\n", f"{day}\n", *COLUMNS, *(_row(figure) for figure in part.figures)])


def _row(figure: Mapping[str, Any]) -> str:
    value = figure["value"]
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    cells = (
        figure["name"],
        f"{shown} {figure['unit']}".strip(),
        figure["floor_or_peer"],
        figure["target"],
        VERDICTS[holds(figure)],
        figure["stack"],
    )
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def _version(command: Sequence[str]) -> str:
    """The first number with dots that a server says about itself."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    found = re.search(r"\d+\.\d+[\w.]*", said.rpartition("Distrib")[2])
    return found[0] if found else "unknown"


def write(titles: Mapping[str, str]) -> list[str]:
    """Write the page from what is kept of these parts; answers what was missed."""
    parts = [part for name, title in titles.items() if (part := read(title, KEPT / f"{name}.json"))]
    PAGE.write_text(page(parts, machine()), encoding="utf-8")
    return missed(parts)
