"""What a terminal keeps of a run once it is over: a table of its steps, and the words below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.language.units import spell
from v6flow.reporters import prose
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from v6flow.core.execution.state import RunState, StepState

NARROW = 70  # columns: below, the final table spares seconds and attempts
TABLE = 40  # rows of the final table; beyond, only the steps worth telling
_NUMBERS = (2, 3, 4)  # columns of the table that stand to the right: answered, seconds, attempts
_SPARED = (3, 4)

STYLES = {
    "completed": "green", "answered": "green", "running": "cyan", "working": "cyan", "asked": "blue",
    "retrying": "yellow", "interrupted": "yellow", "cancelled": "yellow", "failed": "bold red",
    "missing": "red", "skipped": "dim", "pending": "dim", "waiting": "dim",
}  # fmt: skip


def final_table(state: RunState, names: Sequence[str], *, width: int) -> RenderableType:
    """The steps with how they fared; of many, those that asked somebody or went wrong; others are counted."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown, others = _told(state, names)
    columns = [column for column in range(len(prose.HEAD)) if width >= NARROW or column not in _SPARED]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        last = column == columns[-1]
        table.add_column(
            prose.HEAD[column],
            justify="right" if column in _NUMBERS else "left",
            overflow="fold",
            no_wrap=not last and column != 0,
            min_width=min(max((len(step.name) for step in shown), default=0), width // 3) if column == 0 else None,
        )
    for step in shown:
        cells = [Text(cell) for cell in prose.row(step, state.status)]
        cells[1].stylize(STYLES[step.status])
        cells[-1].stylize(STYLES["skipped" if step.status == "skipped" else "missing"])
        table.add_row(*(cells[column] for column in columns))
    return Group(*([table] if shown else []), *(Text(line, "dim") for line in others))


def _told(state: RunState, names: Sequence[str]) -> tuple[list[StepState], list[str]]:
    """The steps that the final table shows, and what it says of the others."""
    steps = [state.step(name) for name in names]
    if len(steps) <= TABLE:
        return steps, []
    worth = sorted(steps, key=_worth)[:TABLE]
    chosen = {step.name for step in worth if _worth(step) < _PLAIN}
    shown = [step for step in steps if step.name in chosen]
    others: dict[str, int] = {}
    for step in steps:
        if step.name not in chosen:
            others[step.status] = others.get(step.status, 0) + 1
    more = "more " if shown else ""
    return shown, [f"{count} {more}{status}" for status, count in others.items()]


_PLAIN = 4


def _worth(step: StepState) -> int:
    """The lower, the more worth a row: failures first, then who lacked answers, then who was asked."""
    if step.status == "failed":
        return 0
    if step.organizations and len(step.responded) < len(step.asked):
        return 1
    if step.status in ("running", "waiting"):
        return 2
    return 3 if step.organizations else _PLAIN


def ending(state: RunState, store: str = "") -> Text:
    """What stands below the table: how the run ended, what went wrong, what to do next."""
    from rich.text import Text

    until = state.last if state.ended is None else state.ended
    status = "let go of while running" if state.status == "running" else state.status
    text = Text.assemble("run ", (plain(state.run), "bold"), " ", (status, STYLES[state.status]))
    took = spell(max(until - state.started, 0.0))
    text.append(f" in {took}" if state.status == "completed" else f" after {took}")
    lines = prose.failure_text(state, store) if state.status in ("failed", "interrupted") else []
    lines += prose.waiting_text(state, store)
    if state.status == "running":
        lines = [f"to go on where it stopped: {prose.resume_command(state.run, store)}"]
    less = [Text(line, STYLES["missing"]) for line in prose.incomplete_text(state, store)]
    return Text("\n").join([text, *less, *(Text(line) for line in lines if line != state.status)])
