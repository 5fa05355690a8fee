"""One figure beside its floor or peer, and how it is printed."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

HEADINGS = ("figure", "ours", "beside", "ratio", "target", "")
SCALES = {"ms": 1e3, "µs": 1e6, "s": 1.0}


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Attributes:
        beside: the floor or peer of the same run, with its name.
        ratio: ours divided by the peer's, where that says something.
        holds: whether the target holds; None when there is none.
    """

    name: str
    ours: str
    beside: str = ""
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        verdict = {True: "holds", False: "MISSED", None: ""}[self.holds]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return (self.name, self.ours, self.beside, ratio, self.target, verdict)

    def kept(self, stack: str) -> dict[str, object]:
        """As it is written down for docs/figures.md."""
        peer = self.beside if self.ratio is None else f"{self.beside}, ratio {self.ratio:.2f}"
        return {
            "name": self.name,
            "value": self.ours,
            "unit": "",
            "floor_or_peer": peer,
            "target": self.target,
            "stack": stack,
            "holds": self.holds,
        }

    def __str__(self) -> str:
        """One line of words."""
        name, ours, beside, ratio, target, verdict = self.row()
        parts = [f"{name}: {ours}", beside, ratio and f"ratio {ratio}", target and f"target {target}", verdict]
        return " · ".join(part for part in parts if part)


def lower(name: str, ours: float, peer: float, *, unit: str, beside: str, at_most: float | None) -> Figure:
    """A figure in seconds that should be small compared with its peer's."""
    ratio = ours / peer
    target, holds = ("", None) if at_most is None else (f"ratio ≤ {at_most:g}", ratio <= at_most)
    return Figure(name, said(ours, unit), f"{beside} {said(peer, unit)}", ratio, target, holds)


def limited(name: str, ours: float, *, unit: str, at_most: float, beside: str = "") -> Figure:
    """A figure that has a limit of its own, in its unit."""
    return Figure(name, f"{ours:.3g} {unit}", beside, None, f"≤ {at_most:g} {unit}", ours <= at_most)


def said(seconds: float, unit: str) -> str:
    """Seconds in a unit that reads well."""
    value = seconds * SCALES[unit]
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def table(figures: Sequence[Figure]) -> list[str]:
    """All figures, a line each."""
    rows = [HEADINGS, *(figure.row() for figure in figures)]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_padded(*cell) for cell in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "─" * max(map(columns, lines)), *lines[1:]]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def columns(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
