"""The report of measurements, for the terminal and as Markdown: medians, ratios with their range, and targets."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADINGS = ("what", "v6flow", "beside", "its figure", "ratio (least–most)", "target", "met")
NUMERIC = (1, 3, 4)  # right-aligned columns


@dataclass(frozen=True, slots=True)
class Row:
    """v6flow's figures in each round, and another tool's figures in the same rounds.

    `limit` bounds the median ratio, `ceiling` the median of v6flow's own figure; None: no target was set.
    """

    experiment: str
    what: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    limit: float | None = None
    ceiling: float | None = None

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)] if self.peer else []

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.limit is not None:
            return statistics.median(self.ratios) <= self.limit
        if self.ceiling is not None:
            return 0 <= statistics.median(self.ours) <= self.ceiling  # a difference may drown in noise
        return None

    def cells(self) -> list[str]:
        target = ""
        if self.limit is not None:
            target = f"ratio ≤ {self.limit:g}"
        elif self.ceiling is not None:
            target = f"≤ {_spell(self.ceiling, self.unit)}"
        return [
            self.what,
            _spell(statistics.median(self.ours), self.unit),
            self.peer,
            _spell(statistics.median(self.theirs), self.unit) if self.peer else "",
            _spread(self.ratios, "×") if self.peer else f"({_range(self.ours, self.unit)})",
            target,
            {None: "", True: "yes", False: "**no**"}[self.met],
        ]


def text(rows: Sequence[Row]) -> str:
    """A table for the terminal."""
    table = [list(HEADINGS), *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.rjust(width) if column in NUMERIC else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(cells, widths, strict=True))).rstrip()
        for cells in table
    ]  # fmt: skip
    return "\n".join(lines)


def markdown(rows: Sequence[Row], *, versions: Mapping[str, str], repeat: int, notes: Sequence[str]) -> str:
    """The whole report."""
    lines = [
        "# Figures",
        "",
        *(f"- {fact}" for fact in _facts(versions, repeat)),
        *(f"- {note}" for note in notes),
    ]
    for experiment in dict.fromkeys(row.experiment for row in rows):
        lines += ["", f"## {experiment}", "", _line(HEADINGS)]
        lines.append(_line(["--:" if column in NUMERIC else "---" for column in range(len(HEADINGS))]))
        lines += [_line(row.cells()) for row in rows if row.experiment == experiment]
    return "\n".join(lines) + "\n"


def _facts(versions: Mapping[str, str], repeat: int) -> list[str]:
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processors"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return [
        f"{datetime.now(timezone.utc):%Y-%m-%d}: {machine}, {python}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"Medians of {repeat} rounds. A ratio is taken within a round: least and most show how steady it is.",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(figures: Sequence[float], unit: str) -> str:
    return f"{_spell(statistics.median(figures), unit)} ({_range(figures, unit)})"


def _range(figures: Sequence[float], unit: str) -> str:
    return f"{_spell(min(figures), unit)}–{_spell(max(figures), unit)}"


def _spell(figure: float, unit: str) -> str:
    if unit == "s" and 0 < abs(figure) < 0.001:
        return f"{figure * 1e6:.0f} µs"
    if unit == "s":
        return f"{figure:.2f} s" if abs(figure) >= 1 else f"{figure * 1000:.1f} ms"
    if unit == "×":
        return f"{figure:.2f}" if abs(figure) >= 0.1 else f"{figure:.3f}"
    return f"{figure:.0f} {unit}".rstrip()


def progress(message: str) -> None:
    """Report progress on stderr."""
    print(message, file=sys.stderr, flush=True)
