"""The reporter for a terminal: the state of each step and each organization, redrawn in place."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct, field

from v6flow.core.execution import dispatched
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import SETTLED, StepState
from v6flow.core.language.units import spell
from v6flow.core.planning import ids
from v6flow.core.views import by_kind
from v6flow.reporters import prose
from v6flow.reporters.final import STYLES, ending, final_table
from v6flow.reporters.lines import sentence
from v6flow.reporters.prose import named
from v6flow.reporters.terminal import plain, tolerant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from rich.console import Console, RenderableType
    from rich.live import Live as RichLive
    from rich.text import Text

    from v6flow.core.execution.events import Event
    from v6flow.core.execution.standing import OrganizationState
    from v6flow.core.execution.state import RunState
    from v6flow.core.kinds.settings import Retry
    from v6flow.core.planning.plan import Plan

REFRESHES = 8  # a second
FAILURES = 20  # the most that are reported when they happen; the end reports all
MOST_INSIDE = 8  # the most items whose running steps are shown in the line of their container step
RECENT = 100  # settled steps kept as recent: more than fit on a screen

_SIGNS = {"waiting": "?", "completed": "✓", "failed": "✗", "skipped": "»", "pending": "·"}
_ASCII_SIGNS = {"waiting": "?", "completed": "+", "failed": "x", "skipped": ">", "pending": ".", "running": "*"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Shown(Struct, frozen=True):
    """The content of the screen: the run, the steps that get a line, and the number of steps in each status."""

    run: str
    workflow: str
    started: float
    steps: Sequence[StepState]
    counts: Mapping[str, int]
    total: int
    retries: Mapping[str, Retry] = field(default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)  # the running nested steps of container steps
    cancelling: bool = False
    spent: frozenset[str] = frozenset()  # the organizations that the federation's policy forbids to ask again


class Board:
    """Counts the steps of a run, and selects those that get a line."""

    def __init__(self, names: Sequence[str], state: RunState) -> None:
        self._names = names
        self._place = {name: place for place, name in enumerate(names)}
        self._state = state
        self._status: dict[str, str] = {}
        self.counts: dict[str, int] = {"pending": len(names)}
        self._running: dict[str, None] = {}
        self._failed: dict[str, None] = {}
        self._recent: deque[str] = deque(maxlen=RECENT)
        for name in state.steps:
            self.note(name)

    def note(self, name: str) -> None:
        """Note a change of a step; nested steps have no line."""
        if name not in self._place:
            return
        before = self._status.get(name, "pending")
        status = self._state.step(name).status
        if status == before:
            return
        self._status[name] = status
        self.counts[before] -= 1
        self.counts[status] = self.counts.get(status, 0) + 1
        self._running.pop(name, None)
        self._failed.pop(name, None)
        if status == "running":
            self._running[name] = None
        elif status == "failed":
            self._failed[name] = None
        elif status in SETTLED:
            self._recent.append(name)

    def lines(self, room: int) -> list[StepState]:
        """The steps to show in `room` lines, in the plan's order: all, or the failed, running and recent ones."""
        if len(self._names) <= room:
            return [self._state.step(name) for name in self._names]
        failed = list(islice(self._failed, max(room // 2, room - len(self._running))))
        chosen = dict.fromkeys([*failed, *islice(self._running, max(room - len(failed), 0))])
        for name in reversed(self._recent):
            if len(chosen) >= room:
                break
            chosen[name] = None
        return [self._state.step(name) for name in sorted(chosen, key=lambda name: self._place.get(name, 0))]


class Live:
    """Draws the run on the terminal `stream`.

    `kept` is the folder or file that holds the run; `now` must return the time of the engine's clock.
    """

    def __init__(
        self, stream: TextIO, *, kept: str = "", store: str = "", now: Callable[[], float] | None = None
    ) -> None:
        self._stream = stream
        self._store = store
        self._kept = kept
        self._now = now
        self._lock = threading.Lock()  # the drawing thread reads what the engine's thread writes
        self._plan: Plan | None = None
        self._state: RunState | None = None
        self._board: Board | None = None
        self._console: Console | None = None
        self._live: RichLive | None = None
        self._failures = 0

    def begin(self, plan: Plan, state: RunState) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        if self._now is None:
            from v6flow.clock import SystemClock

            self._now = SystemClock().now
        self._plan, self._state = plan, state
        self._board = Board(plan.nested(""), state)
        self._console = Console(file=tolerant(self._stream), markup=False, highlight=False, emoji=False)
        self._console.print(heading(plan, state, self._kept), soft_wrap=True)
        self._live = RichLive(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def event(self, event: Event, state: RunState) -> None:
        if self._board is None or self._plan is None:
            return
        with self._lock:
            if isinstance(event, ev.RunResumed):
                self._board = Board(self._plan.nested(""), state)
            step: str | None = getattr(event, "step", None)
            if step is not None:
                self._board.note(step)
        if isinstance(event, (ev.TaskFailed, ev.LocalFailed)):
            self._tell_failure(event, state)

    def end(self, state: RunState) -> None:
        if self._live is not None:
            self._live.stop()
        if self._console is not None and self._plan is not None:
            table = final_table(state, self._plan.nested(""), width=self._console.width)
            self._console.print(table)
            self._console.print(ending(state, self._store), soft_wrap=True)  # so that commands can be copied
        self._live = None

    def _tell_failure(self, event: Event, state: RunState) -> None:
        """Print the message of a failure above the steps: a row has no room for it."""
        self._failures += 1
        if self._failures > FAILURES or self._console is None or self._plan is None:
            return
        line = sentence(event, state, self._plan)
        if line is not None:
            from rich.text import Text

            self._console.print(Text(line, STYLES["failed"]), soft_wrap=True)

    def _draw(self) -> RenderableType:
        assert self._board is not None
        assert self._console is not None
        assert self._state is not None
        assert self._plan is not None
        assert self._now is not None
        width, height = self._console.size
        with self._lock:
            view = shown_of(self._plan, self._state, self._board, room=max(height - 3, 1))
        return screen(view, self._now(), width=width, unicode=not self._console.options.ascii_only)


def shown_of(plan: Plan, state: RunState, board: Board, *, room: int) -> Shown:
    """The content of the screen with `room` lines for steps."""
    steps = board.lines(room)
    planned = [plan.steps[step.name] for step in steps]
    retries = {
        each.common.name: found for each in planned if (found := by_kind.view_of(each.kind).retry(each)) is not None
    }
    return Shown(
        state.run,
        state.workflow,
        state.started,
        steps,
        dict(board.counts),
        len(plan.nested("")),
        retries,
        {step.name: _at_work(state, step) for step in steps if step.status == "running" and _is_outer(step)},
        state.cancelling,
        frozenset(name for name, asked in state.queries.items() if not plan.directory.policy.may_ask(asked)),
    )


def _is_outer(step: StepState) -> bool:
    return bool(step.history) or step.items is not None


def _at_work(state: RunState, step: StepState) -> str:
    """The current iteration or the number of ended items, and the running steps in them."""
    told = [prose.remark(step)]
    numbers = (
        [step.rounds + 1]
        if step.history
        else [n for n, each in enumerate(step.items or (), 1) if each.status == "open"]
    )
    for number in numbers[:MOST_INSIDE]:
        for name in state.inside.get(ids.inside(step.name, number), ()):
            nested = state.step(name)
            if nested.status == "running":
                short = name[len(step.name) :] if step.items is not None else ids.short(name)
                asked = f" {len(nested.responded)}/{len(nested.asked)}" if nested.organizations else ""
                told.append(f"{short}{asked}")
    return "  ".join(told)


def heading(plan: Plan, state: RunState, kept: str) -> Text:
    """The heading: the run, where it is kept, which organizations are offline."""
    from rich.text import Text

    text = Text.assemble("run ", (plain(state.run or plan.run), "bold"), f" of {plain(plan.workflow.name)}")
    if state.steps:
        text.append(", resumed")
    if kept:
        text.append(f"\nkept in {plain(kept)}", "dim")
    if plan.directory.offline:
        text.append(f"\noffline: {named(plan.directory.offline)}", "yellow")
    return text


def screen(view: Shown, now: float, *, width: int, unicode: bool = True) -> Text:
    """One line for each step, cut to the width of the terminal, and one line with counts."""
    from rich.text import Text

    longest = max((len(step.name) for step in view.steps), default=0)
    column = min(longest, max(width // 3, 8))
    lines = [_line(step, view, now, column, width, unicode=unicode) for step in view.steps]
    return Text("\n").join([*lines, _tally(view, now, width)])


def _line(step: StepState, view: Shown, now: float, column: int, width: int, *, unicode: bool) -> Text:
    from rich.text import Text

    name = plain(step.name)
    if len(name) > column:
        name = name[: column - 1] + ("…" if unicode else "~")
    text = Text(no_wrap=True, overflow="crop")
    text.append(_sign(step.status, now, unicode=unicode), STYLES[step.status])
    text.append(f" {name.ljust(column)} {_elapsed(step, now).rjust(6)}  ")
    text.append_text(_progress(step, view, width - text.cell_len))
    text.truncate(width, overflow="ellipsis" if unicode else "crop")
    return text


def _sign(status: str, now: float, *, unicode: bool) -> str:
    if not unicode:
        return _ASCII_SIGNS[status]
    return _SIGNS.get(status) or _SPINNER[int(now * REFRESHES) % len(_SPINNER)]


def _elapsed(step: StepState, now: float) -> str:
    if step.started is None or step.status == "skipped":
        return ""
    until = now if step.status == "running" or step.ended is None else step.ended
    return spell(max(until - step.started, 0.0))


def _progress(step: StepState, view: Shown, room: int) -> Text:
    """The progress of a step: each organization's state if that fits, else the number of them in each state."""
    from rich.text import Text

    organizations = step.organizations
    if step.name in view.inside:
        return Text(plain(view.inside[step.name]), STYLES["running"])
    if not organizations or (step.reused is not None and step.status == "completed"):
        return _unasked(step)
    told = [(name, _word(each, step, view)) for name, each in organizations.items()]
    central: list[tuple[str, str]] = []
    if any(map(dispatched.has_dispatched, organizations.values())):
        central = [(f"{name} (central)", word) for name, word in told if word != "answered"]
        told = _subtasks(step)
    shown = [*central, *told]
    each = Text("  ").join(Text.assemble(f"{plain(name)} ", (word, _style(word))) for name, word in shown)
    if each.cell_len <= room:
        return each
    return _counted(told)


def _subtasks(step: StepState) -> list[tuple[str, str]]:
    """The state of each organization that a central function asked."""
    words = {"answered": "answered", "failed": "failed", "open": "missing" if step.status in SETTLED else "asked"}
    return [
        (each.organization, "working" if each.working and step.status not in SETTLED else words[each.standing])
        for each in dispatched.parts(step).values()
    ]


def _counted(told: Sequence[tuple[str, str]]) -> Text:
    """The number of answers, and the other organizations by state; failed, missing and retried ones are named."""
    from rich.text import Text

    groups: dict[str, list[str]] = {}
    for name, word in told:
        groups.setdefault(word.split(maxsplit=1)[0], []).append(name)
    parts = [Text(f"{len(groups.pop('answered', []))}/{len(told)} answered", STYLES["answered"])]
    problems = [word for word in ("failed", "missing", "retrying") if word in groups]
    parts += [Text(f"{word}: {named(groups.pop(word))}", STYLES[word]) for word in problems]
    parts += [Text(f"{len(names)} {word}", STYLES[word]) for word, names in groups.items()]
    return Text("  ").join(parts)


def _unasked(step: StepState) -> Text:
    """The progress of a step that asks nobody."""
    from rich.text import Text

    if step.status == "running":
        return Text("computes here" if step.requested else "waiting for retry", STYLES["running"])
    if step.status == "failed":
        return Text(prose.remark(step), STYLES["failed"])
    return Text(prose.remark(step) or ("" if step.status == "completed" else step.status), STYLES[step.status])


def _word(each: OrganizationState, step: StepState, view: Shown) -> str:
    """The state of an organization in one word, with the attempt if it is not the first."""
    if each.status == "answered":
        return "answered"
    if step.status in SETTLED:
        return "failed" if each.status == "failed" else "missing"
    retry, tried = view.retries.get(step.name), each.attempt - each.spared
    if each.status == "failed":
        kind = each.failure.kind if each.failure is not None else None
        if retry is not None and prose.asked_again(retry, kind, tried) and each.name not in view.spent:
            return f"retrying {tried + 1}/{retry.attempts}"
        return "failed"
    if each.status == "waiting":
        return "waiting"
    if tried > 1 and retry is not None:
        return f"retrying {tried}/{retry.attempts}"
    return "working" if each.began is not None else "asked"


def _style(word: str) -> str:
    return STYLES[word.split(maxsplit=1)[0]]


def _tally(view: Shown, now: float, width: int) -> Text:
    """The number of steps in each status, and the duration of the run."""
    from rich.text import Text

    text = Text(f"{view.total} steps", no_wrap=True)
    for status in ("running", "waiting", "completed", "failed", "skipped", "pending"):
        if view.counts.get(status):
            text.append(", ")
            text.append(f"{view.counts[status]} {status}", STYLES[status])
    text.append(f"; {spell(max(now - view.started, 0.0))}")
    if view.cancelling:
        text.append("; being cancelled", "yellow")
    text.truncate(width)
    return text
