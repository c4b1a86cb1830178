"""A timeline as bars in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.language.units import spell
from v6flow.core.views.timeline import COMPUTING, DECIDING, REQUESTED, WAITING, WORKING
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from v6flow.core.views.timeline import Span, TimedStep, Timeline

WIDTH = 40  # characters of a bar
STEPS = 80  # steps that have rows: of more, the longest
ROWS = 15  # rows of one step, for its organizations, iterations or items: of more, the longest

MARKS = {WAITING: ".", REQUESTED: "~", DECIDING: "?", COMPUTING: "=", WORKING: "#"}  # a later one covers an earlier one
_IN_WORDS = {REQUESTED: "waiting or working"}

_Row = tuple[str, str, "Sequence[Span]"]
"""What a bar is of, how long that took in words, and its spans; without any, the first is all of the line."""


def bars(timeline: Timeline) -> list[str]:
    """A line for each organization, local step, gate, iteration and item that took time, under the legend."""
    rows = list(_rows(timeline.steps))
    wide = max((len(label) for label, _, spans in rows if spans), default=0)
    used = {span.phase for _, _, spans in rows for span in spans}
    marks = [f"{mark} {_IN_WORDS.get(phase, phase)}" for phase, mark in MARKS.items() if phase in used]
    lines = [f"timeline of {spell(timeline.time.length)}: {', '.join(marks) or 'nothing took time'}"]
    if timeline.pauses:
        down = spell(sum(each.time.seconds for each in timeline.pauses))
        lines.append(f"  left out: {down} in which nobody held the run, where ^ is")
        at = [int(each.time.offset / (timeline.time.length or 1) * WIDTH) for each in timeline.pauses]
        lines.append(f"  {'':<{wide}}  {''.join('^' if slot in at else ' ' for slot in range(WIDTH + 1))}")
    for label, took, spans in rows:
        lines.append(f"  {label:<{wide}}  {_bar(spans, timeline)}  {took}" if spans else f"  {label}")
    return [line.rstrip() for line in lines]


def _rows(steps: Iterable[TimedStep]) -> list[_Row]:
    return _longest([_of_step(step) for step in steps], STEPS, "steps that took less time")


def _of_step(step: TimedStep) -> list[_Row]:
    by_whom: dict[str | None, list[Span]] = {}
    for span in step.spans:
        by_whom.setdefault(span.organization, []).append(span)
    groups: list[list[_Row]] = [
        [(plain(f"{step.step} {name or ''}".rstrip()), _phases(spans), spans)] for name, spans in by_whom.items()
    ]
    for part in step.parts:
        if part.number is None:
            groups.append(_rows(part.steps))
        elif spans := list(part.every_span()):  # what is nested in an iteration or an item is one bar
            key = f" {part.item}" if part.item not in (None, str(part.number)) else ""
            took = max(map(_end, spans)) - min(span.time.offset for span in spans)
            groups.append([(plain(f"{step.step}[{part.number}]{key}"), spell(took), spans)])
    return _longest(groups, ROWS, f"of {plain(step.step)} that took less time")


def _longest(groups: Sequence[list[_Row]], most: int, what: str) -> list[_Row]:
    """The rows of the groups that took the longest, in their order, and how many there are besides."""
    took = {
        place: sum(span.time.length for _, _, spans in rows for span in spans)
        for place, rows in enumerate(groups)
        if rows
    }
    kept = sorted(sorted(took, key=took.__getitem__, reverse=True)[:most])
    more: list[_Row] = [(f"and {len(took) - len(kept)} {what}", "", [])] if len(took) > len(kept) else []
    return [row for place in kept for row in groups[place]] + more


def _end(span: Span) -> float:
    return span.time.offset + span.time.length


def _bar(spans: Iterable[Span], timeline: Timeline) -> str:
    """The spans on the axis; what has a length has at least one mark."""
    cells, scale = [" "] * WIDTH, WIDTH / (timeline.time.length or 1)
    for phase, mark in MARKS.items():
        for span in (each for each in spans if each.phase == phase):
            first = min(int(span.time.offset * scale), WIDTH - 1)
            last = max(first + 1, round(_end(span) * scale))
            cells[first:last] = mark * (min(last, WIDTH) - first)
    return "".join(cells)


def _phases(spans: Sequence[Span]) -> str:
    """How long each phase took: of a person all of it, of all others without the pauses."""
    took: dict[str, float] = {}
    for span in spans:
        length = span.time.seconds if span.phase == DECIDING else span.time.length
        took[span.phase] = took.get(span.phase, 0.0) + length
    return ", ".join(f"{_IN_WORDS.get(phase, phase)} {spell(seconds)}" for phase, seconds in took.items())
