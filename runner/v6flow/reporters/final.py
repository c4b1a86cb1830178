"""The final report on a terminal once a run is over: a table of its steps, and the outcome below it."""

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

NARROW = 70  # columns: a narrower final table leaves out seconds and attempts
TABLE = 40  # rows of the final table; with more steps, only the important ones are shown
_NUMBERS = (2, 3, 4)  # right-aligned columns of the table: answered, seconds, attempts
_SPARED = (3, 4)

STYLES = {
    "completed": "green", "answered": "green", "running": "cyan", "working": "cyan", "asked": "blue",
    "retrying": "yellow", "interrupted": "yellow", "cancelled": "yellow", "failed": "bold red",
    "missing": "red", "skipped": "dim", "pending": "dim", "waiting": "dim",
}  # fmt: skip


def final_table(state: RunState, names: Sequence[str], *, width: int) -> RenderableType:
    """The steps and their outcomes. Of many steps, shows those that failed or asked somebody, and counts the others."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown, others = _chosen(state, names)
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


def _chosen(state: RunState, names: Sequence[str]) -> tuple[list[StepState], list[str]]:
    """The steps that the final table shows, and counts of the others."""
    steps = [state.step(name) for name in names]
    if len(steps) <= TABLE:
        return steps, []
    worth = sorted(steps, key=_rank)[:TABLE]
    chosen = {step.name for step in worth if _rank(step) < _PLAIN}
    shown = [step for step in steps if step.name in chosen]
    others: dict[str, int] = {}
    for step in steps:
        if step.name not in chosen:
            others[step.status] = others.get(step.status, 0) + 1
    more = "more " if shown else ""
    return shown, [f"{count} {more}{status}" for status, count in others.items()]


_PLAIN = 4


def _rank(step: StepState) -> int:
    """The rank of a step: failures first, then steps with missing answers, then those that asked somebody."""
    if step.status == "failed":
        return 0
    if step.organizations and len(step.responded) < len(step.asked):
        return 1
    if step.status in ("running", "waiting"):
        return 2
    return 3 if step.organizations else _PLAIN


def ending(state: RunState, store: str = "") -> Text:
    """The text below the table: how the run ended, what failed, and what to do next."""
    from rich.text import Text

    until = state.last if state.ended is None else state.ended
    status = "released while running" if state.status == "running" else state.status
    text = Text.assemble("run ", (plain(state.run), "bold"), " ", (status, STYLES[state.status]))
    took = spell(max(until - state.started, 0.0))
    text.append(f" in {took}" if state.status == "completed" else f" after {took}")
    lines = prose.failure_text(state, store) if state.status in ("failed", "interrupted") else []
    lines += prose.waiting_text(state, store)
    if state.status == "running":
        lines = [f"to resume where it stopped: {prose.resume_command(state.run, store)}"]
    less = [Text(line, STYLES["missing"]) for line in prose.incomplete_text(state, store)]
    return Text("\n").join([text, *less, *(Text(line) for line in lines if line != state.status)])
