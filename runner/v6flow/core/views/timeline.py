"""When each step of a run waited, worked, computed or was with a person, from the events of the run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import RunState, apply
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views.base import View
from v6flow.core.views.summary import moment, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from v6flow.core.execution.events import Event, Time
    from v6flow.core.views.summary import Summary

WAITING, WORKING, REQUESTED, COMPUTING, DECIDING = "waiting", "working", "requested", "computing", "deciding"


class Stretch(View, frozen=True):
    """A stretch of time in a run.

    began: a moment in UTC
    ended: a moment in UTC; null while it continues
    seconds: from the one to the other, or until now
    offset: where it begins on the axis: in seconds after the beginning of the run, without the pauses until then
    length: its length on the axis: its seconds without the pauses in it
    """

    began: str
    ended: str | None
    seconds: float
    offset: float
    length: float


class Span(View, frozen=True):
    """What an organization, a local step or a person was at.

    phase: `waiting` from the request until the organization's node is known to have begun, at most until nobody waits
        for its answer; `working` from then until it has answered; `requested` from the request until the answer, where
        it is not recorded when the node began; `computing` of a local step; `deciding` of a person at a gate
    organization: the organization; null for a local step and a gate
    attempt: the number of the attempt; null for a gate
    """

    FLAT = ("time",)
    phase: str
    organization: str | None
    attempt: int | None
    time: Stretch


class Pause(View, frozen=True):
    """A time in which nobody held the run; it has no length on the axis.

    reason: `waiting` for a person, `interrupted`, or `failed` until it was tried again
    """

    FLAT = ("time",)
    reason: str
    time: Stretch


class TimedStep(View, frozen=True):
    """A step that has begun.

    step: the step as it is run, `fit[3].gradient`
    status: as in a run
    spans: what was done for it, in order
    parts: of a step with nested ones, each iteration or item of it, or the one workflow that it runs
    """

    FLAT = ("time",)
    step: str
    status: str
    time: Stretch
    spans: tuple[Span, ...]
    parts: tuple[TimedPart, ...]

    def every_span(self) -> Iterator[Span]:
        """Its spans, and those of all that is nested in it."""
        yield from self.spans
        for part in self.parts:
            yield from part.every_span()


class TimedPart(View, frozen=True):
    """An iteration, an item, or the workflow that a step runs.

    number: its number, from 1; null for a workflow
    item: the key of the item; null for all others
    steps: the steps in it that have begun
    """

    number: int | None
    item: str | None
    steps: tuple[TimedStep, ...]

    def every_span(self) -> Iterator[Span]:
        """The spans of all steps in it."""
        for step in self.steps:
            yield from step.every_span()


class Timeline(View, frozen=True):
    """When a run did what: what is to be drawn is on one axis, from which the pauses are cut.

    run: the run's id
    status: as in a run
    pauses: the times in which nobody held the run
    steps: the steps that have begun and are nested in none, in the order in which they began
    """

    FLAT = ("time",)
    run: str
    status: str
    time: Stretch
    pauses: tuple[Pause, ...]
    steps: tuple[TimedStep, ...]


class TimedRun(View, frozen=True):
    """A run, and when it did what.

    timeline (with `--timeline`): see [Timelines](#timelines)
    """

    OPTIONAL = ("timeline",)
    FLAT = ("run",)
    run: Summary
    timeline: Timeline | None


def timeline(events: Iterable[Event], now: Time, status: str | None = None) -> Timeline:
    """The timeline of a run; what continues lasts until `now`.

    `status` replaces the state's where the caller knows better: nobody holds a run that is `running`.
    """
    history = _Recorded()
    for event in events:
        history.take(event)
    return _Drawing(history, status or history.state.status, now).timeline()


class _Open(Struct):
    """What has not ended: an attempt of an organization or of a local step, or the question of a gate."""

    phase: str
    at: Time
    attempt: int | None = None
    token: str = ""
    began: Time | None = None  # when the node began, as far as it is known

    def ended(self, at: Time | None, *, answered: bool) -> Iterator[tuple[str, Time, Time | None]]:
        """Its phases, with their beginnings and ends; the federation's clock never leads out of what v6flow saw."""
        if self.phase != WAITING:
            yield self.phase, self.at, at
        elif self.began is None:
            yield REQUESTED if answered else WAITING, self.at, at
        else:
            began = max(self.at, self.began if at is None else min(self.began, at))
            yield WAITING, self.at, began
            yield WORKING, began, at


class _Recorded:
    """The spans and the pauses of a run, in the order of its events."""

    def __init__(self) -> None:
        self.state = RunState()
        self.spans: dict[str, list[tuple[str | None, int | None, str, Time, Time | None]]] = {}
        self.pauses: list[tuple[str, Time, Time | None]] = []
        self._open: dict[tuple[str, str | None], _Open] = {}
        self._reason = "interrupted"  # why nobody holds it, once that is so

    def take(self, event: Event) -> None:
        """Note an event, and apply it to the state."""
        self._of_run(event)
        match event:
            case ev.TaskRequested():
                for name in event.organizations:
                    self._begin(event.step, name, _Open(WAITING, event.at, event.attempt, event.token))
            case ev.TaskStarted():
                found = self._open.get((event.step, event.organization))
                if found is not None and found.attempt == event.attempt:
                    known = (event.began, found.began, event.at)  # told again after a resume, it may know no better
                    found.began = next(each for each in known if each is not None)
            case ev.TaskAnswered() | ev.TaskFailed() | ev.TaskLate():
                found = self._open.get((event.step, event.organization))
                if found is not None and found.attempt == event.attempt:
                    self._end(event.step, event.organization, event.at, answered=True)
            case ev.LocalRequested():
                self._begin(event.step, None, _Open(COMPUTING, event.at, event.attempt))
            case ev.GateAsked():
                self._begin(event.step, None, _Open(DECIDING, event.at))
            case ev.LocalFailed() | ev.GateDecided():
                self._end(event.step, None, event.at)
            case ev.StepClosed() | ev.StepCompleted() | ev.StepFailed() | ev.StepSkipped():
                self._end_all(event.at, event.step)
            case _:
                pass
        apply(self.state, event)

    def finish(self, now: Time, *, held: bool) -> None:
        """Have what continues last until `now`; without a process, nothing is computed and nobody holds the run."""
        state = self.state
        if not held and not state.over:
            self._pause(state.held_until, None)
            self._end_all(state.held_until, phase=COMPUTING)
        for step, name in list(self._open):
            self._end(step, name, now if state.over else None)

    def _of_run(self, event: Event) -> None:
        match event:
            case ev.RunResumed():
                self._end_all(event.at - event.down, phase=COMPUTING)  # it ended with the process
                self._pause(event.at - event.down, event.at)
                self._reason = "interrupted"
            case ev.RunPaused() | ev.RunInterrupted():
                self._reason = WAITING if isinstance(event, ev.RunPaused) else "interrupted"
                self._end_all(event.at, phase=COMPUTING)
            case ev.CancelRequested() if self.state.left is not None:  # by a process that does not resume it
                self._pause(self.state.left, event.at)
            case ev.RunEnding() | ev.RunCompleted() | ev.RunFailed() | ev.RunCancelled():
                self._reason = "failed"  # if it is resumed all the same
                self._end_all(event.at)
            case _:
                pass

    def _pause(self, began: Time, ended: Time | None) -> None:
        before = self.pauses[-1][2] if self.pauses else None
        self.pauses.append((self._reason, began if before is None else max(began, before), ended))

    def _begin(self, step: str, name: str | None, what: _Open) -> None:
        before = self._open.get((step, name))
        if before is None or not what.token or before.token != what.token:  # the same is only submitted again
            self._end(step, name, what.at)
            self._open[step, name] = what

    def _end(self, step: str, name: str | None, at: Time | None, *, answered: bool = False) -> None:
        found = self._open.pop((step, name), None)
        for phase, began, ended in found.ended(at, answered=answered) if found is not None else ():
            assert found is not None
            self.spans.setdefault(step, []).append((name, found.attempt, phase, began, ended))

    def _end_all(self, at: Time, outer: str | None = None, phase: str | None = None) -> None:
        for (step, name), each in list(self._open.items()):
            if (outer is None or ids.is_in(step, outer)) and phase in (None, each.phase):
                self._end(step, name, at)


class _Drawing:
    """A history on the axis from which the pauses are cut."""

    def __init__(self, history: _Recorded, status: str, now: Time) -> None:
        state = self._state = history.state
        self._status = status
        self._until = state.ended if state.over and state.ended is not None else max(now, state.last)
        history.finish(self._until, held=status == "running")
        self._spans, self._pauses = history.spans, history.pauses
        self._prefixes: dict[str, list[str]] = {}  # of each step with nested ones, their prefixes
        for prefix in state.inside:
            self._prefixes.setdefault(ids.around(prefix)[0], []).append(prefix)

    def timeline(self) -> Timeline:
        state = self._state
        return Timeline(
            state.run,
            self._status,
            self._stretch(state.started, state.ended),
            tuple(Pause(reason, self._stretch(began, ended)) for reason, began, ended in self._pauses),
            self._steps(name for name in state.steps if "." not in name),
        )

    def _steps(self, names: Iterable[str]) -> tuple[TimedStep, ...]:
        found = []
        for name in names:
            step = self._state.steps[name]
            spans = sorted(self._spans.get(name, ()), key=lambda each: each[3])
            if step.started is None and not spans:
                continue
            began = min([*([step.started] if step.started is not None else []), *(each[3] for each in spans)])
            found.append(
                TimedStep(
                    name,
                    standing(step, self._status),
                    self._stretch(began, step.ended if step.ended is not None else self._state.ended),
                    tuple(
                        Span(phase, whose, attempt, self._stretch(at, end)) for whose, attempt, phase, at, end in spans
                    ),
                    tuple(self._part(name, prefix) for prefix in self._prefixes.get(name, ())),
                )
            )
        return tuple(found)

    def _part(self, outer: str, prefix: str) -> TimedPart:
        number, items = ids.around(prefix)[1], self._state.steps[outer].items
        key = items[number - 1].key if items is not None and number else None
        return TimedPart(number or None, key, self._steps(self._state.inside[prefix]))

    def _stretch(self, began: Time, ended: Time | None) -> Stretch:
        end = self._until if ended is None else ended
        offset = self._position(began)
        length = self._position(end) - offset
        return Stretch(iso(began), moment(ended), *(round(max(each, 0.0), 3) for each in (end - began, offset, length)))

    def _position(self, at: Time) -> float:
        """Where a moment is on the axis."""
        cut = (min(at, self._until if ended is None else ended) - began for _, began, ended in self._pauses)
        return at - self._state.started - sum(max(each, 0.0) for each in cut)
