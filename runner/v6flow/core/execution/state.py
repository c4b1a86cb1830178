"""The state of a run: always the replay of its events, changed by nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow.core.execution import dispatched, pinned
from v6flow.core.execution import events as ev
from v6flow.core.execution.pinned import Pinned
from v6flow.core.execution.standing import ItemState, OrganizationState
from v6flow.core.planning import ids

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.execution.events import Event, Failure, Time
    from v6flow.core.execution.standing import Cohort
    from v6flow.core.json import Json

StepStatus = Literal["pending", "running", "waiting", "completed", "failed", "skipped"]
RunStatus = Literal["running", "waiting", "completed", "failed", "interrupted", "cancelled"]
SETTLED = ("completed", "failed", "skipped")


class StepState(Struct):
    """The state of a step. For a task step, `organizations` has each that the step itself asks, in the order asked.

    `asked`, `responded`, `failed` and `missing` name the organizations of its subtasks instead, where a central
    function has dispatched any (see `dispatched`); `answered` never does.
    """

    name: str
    status: StepStatus = "pending"
    started: Time | None = None
    ended: Time | None = None
    deadline: Time | None = None
    organizations: dict[str, OrganizationState] = field(default_factory=dict)
    attempt: int = 0
    spared: int = 0
    since: Time = 0.0
    requested: bool = False  # a child process runs for this local step
    value: Json = None
    carried: tuple[Cohort, ...] = ()
    accepted: bool = False
    failure: Failure | None = None
    closed: str | None = None
    properties: Mapping[str, Json] = field(default_factory=dict)  # the facts that it published when it completed
    cause: str | None = None  # of being skipped: the step that failed, or was left out, first
    question: ev.GateAsked | None = None
    decision: ev.GateDecided | None = None
    reason: str | None = None  # for being skipped (see StepSkipped)
    reused: ev.StepReused | None = None  # where its result is one of an earlier run
    log: str | None = None
    history: list[Json] = field(default_factory=list)  # of a repeat step: its states, the first one included
    converged: bool = False
    items: list[ItemState] | None = None  # of a foreach step, once they are known
    params: dict[str, Json] | None = None  # of a workflow step, once they are known
    mixed_cohorts: str | None = None  # why its value may mix cohorts, where it does
    exhausted: int = 0  # iterations of a repeat step that reached its max while its condition did not hold
    central: bool = False  # whom it asks runs a central function
    progress: Json = None  # how far it has come, as its kind recorded it last

    @property
    def rounds(self) -> int:
        """How many iterations of a repeat step have ended."""
        return max(len(self.history) - 1, 0)

    @property
    def answered(self) -> list[str]:
        """Those whom the step itself asked and who answered: the quorum counts these."""
        return [each.name for each in self.organizations.values() if each.status == "answered"]

    @property
    def asked(self) -> list[str]:
        return list(dispatched.parts(self))

    @property
    def responded(self) -> list[str]:
        return [each.organization for each in dispatched.parts(self).values() if each.standing == "answered"]

    @property
    def failed(self) -> list[str]:
        """Who answered with a failure; while the step runs, one that will be asked again counts too."""
        return [each.organization for each in dispatched.parts(self).values() if each.standing == "failed"]

    @property
    def failures(self) -> dict[str, Failure | None]:
        """Why those who failed did."""
        found = dispatched.parts(self).values()
        return {each.organization: each.failure for each in found if each.standing == "failed"}

    @property
    def missing(self) -> list[str]:
        """Who never answered: known when the step is settled."""
        if self.status not in SETTLED:
            return []
        return [each.organization for each in dispatched.parts(self).values() if each.standing == "open"]

    @property
    def coordinator(self) -> str | None:
        """The organization that runs the central function; None for a step that has none."""
        return dispatched.coordinator(self)

    @property
    def attempts(self) -> int:
        """The most attempts that any organization, or the local step, took."""
        return max((each.attempt for each in self.organizations.values()), default=self.attempt)


class RunState(Struct):
    """The state of a run."""

    run: str = ""
    workflow: str = ""
    pinned: Pinned = field(default_factory=Pinned)
    begun: ev.RunStarted | None = None  # who started it and by what, its key, comment and labels; without its value
    changes_accepted: list[str] = field(default_factory=list)  # why people went on though data or code had changed
    status: RunStatus = "running"
    started: Time = 0.0
    ended: Time | None = None
    last: Time = 0.0  # when the newest event happened
    down: float = 0.0  # seconds that nobody held the run
    left: Time | None = None  # since when nobody holds it, if it was let go of: people may decide meanwhile
    steps: dict[str, StepState] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)  # the nested steps there are, by their prefix
    queries: dict[str, int] = field(default_factory=dict)  # how many task runs each organization was asked for
    outputs: dict[str, Json] = field(default_factory=dict)
    mixed_cohorts: Mapping[str, str] = field(default_factory=dict)  # why outputs may mix cohorts, where they do
    failure: Failure | None = None
    exit_code: int | None = None
    cancelling: bool = False
    ending: ev.RunEnding | None = None  # how it will have ended, while what is under `finally` is done

    @property
    def over(self) -> bool:
        """Whether nothing can happen any more, except by `resume --retry-failed`."""
        return self.status in ("completed", "failed", "cancelled")

    @property
    def held_until(self) -> Time:
        """The last moment at which a process is known to have held it: people may decide at gates later."""
        return self.last if self.left is None else self.left

    @property
    def gates(self) -> list[StepState]:
        """The gates that wait for a person: none any more once it is known how the run ends."""
        if self.over or self.ending is not None:
            return []
        return [each for each in self.steps.values() if each.status == "waiting" and each.decision is None]

    def step(self, name: str) -> StepState:
        """The state of a step; a pending one if nothing has happened to it."""
        state = self.steps.get(name)
        return StepState(name) if state is None else state


def replay(events: Iterable[Event]) -> RunState:
    """The state after these events."""
    state = RunState()
    for event in events:
        apply(state, event)
    return state


def apply(state: RunState, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each kind of event
    """Change a state, in place, by one event."""
    state.last = event.at
    match event:
        case ev.StepCompleted():
            step = _step(state, event.step)
            step.status, step.ended, step.value = "completed", event.at, event.value
            step.carried, step.accepted, step.log = event.carried, event.accepted, event.log
            step.requested, step.failure, step.properties = False, None, event.properties or {}
            step.mixed_cohorts, step.exhausted = event.mixed_cohorts, event.exhausted
            if step.started is None:
                step.started = event.at
        case ev.TaskAnswered():
            asked = _step(state, event.step).organizations[event.organization]
            asked.status, asked.value, asked.log = "answered", event.value, event.log
            asked.failure, asked.since, asked.subtasks, asked.hidden = None, event.at, event.subtasks, event.hidden
            asked.size, asked.image, asked.origin = event.size, event.image, event.origin
        case ev.TaskRequested():
            for name in event.organizations:
                state.queries[name] = state.queries.get(name, 0) + 1
                asked = _step(state, event.step).organizations[name]
                asked.status, asked.attempt, asked.since = "requested", event.attempt, event.at
                asked.token, asked.digest, asked.accepted, asked.began = event.token, event.digest, None, None
                asked.subtasks, asked.hidden = (), False
                asked.withdrawn = asked.unsubmitted = asked.late = False
        case ev.TaskAccepted():
            for asked in _step(state, event.step).organizations.values():
                if asked.token == event.token:
                    asked.accepted, asked.unsubmitted = event.remote, False
        case ev.TaskLate():
            _step(state, event.step).organizations[event.organization].late = True
        case ev.TaskStarted():
            asked = _step(state, event.step).organizations[event.organization]
            if asked.attempt == event.attempt:
                asked.began = event.at if event.began is None else event.began
        case ev.SubtasksSeen():
            asked = _step(state, event.step).organizations[event.organization]
            asked.subtasks = dispatched.merged(asked.subtasks, event.subtasks)
        case ev.TaskWithdrawn():
            for asked in _step(state, event.step).organizations.values():
                if asked.token == event.token:
                    asked.withdrawn = True
        case ev.TaskFailed():
            asked = _step(state, event.step).organizations[event.organization]
            asked.status, asked.failure, asked.since = "failed", event.failure, event.at
            asked.log, asked.subtasks = event.log, event.subtasks
            if asked.withdrawn and event.failure.kind == "killed":
                asked.status, asked.failure, asked.spared = "waiting", None, asked.attempt
        case ev.StepStarted():
            _start(_step(state, event.step), event)
        case ev.StepClosed():
            _step(state, event.step).closed = event.reason
        case ev.StepReused():
            _reuse(_step(state, event.step), event)
        case ev.StepNotReused():
            _step(state, event.step).reused = None  # who had begun to reuse a value was killed before using it
        case ev.RoundEnded():
            step = _step(state, event.step)
            step.history.append(event.value)
            step.carried, step.accepted, step.converged = event.carried, event.accepted, event.converged
            _forget_values(state, ids.inside(event.step, event.round))
        case ev.ParamsGiven():
            step = _step(state, event.step)
            step.params, step.carried, step.accepted = event.value, event.carried, event.accepted
        case ev.ItemsListed():
            step = _step(state, event.step)
            step.items = [ItemState(str(key), item) for key, item in event.value]
            step.carried, step.accepted = event.carried, event.accepted
        case ev.ItemEnded():
            step = _step(state, event.step)
            assert step.items is not None
            item = step.items[event.item - 1]
            item.status = "failed" if event.failure is not None else "completed"
            item.value, item.failure = event.value, event.failure
            item.carried, item.accepted = event.carried, event.accepted
            if event.failure is None:  # one that failed may be tried again, with what has been answered
                _forget_values(state, ids.inside(event.step, event.item))
        case ev.LocalRequested():
            step = _step(state, event.step)
            step.status, step.attempt, step.requested, step.since = "running", event.attempt, True, event.at
            step.deadline = event.deadline
            if step.started is None:
                step.started = event.at
        case ev.LocalFailed():
            step = _step(state, event.step)
            step.requested, step.failure, step.log, step.since = False, event.failure, event.log, event.at
        case ev.StepFailed():
            step = _step(state, event.step)
            step.status, step.ended, step.failure, step.requested = "failed", event.at, event.failure, False
            if step.started is None:
                step.started = event.at
        case ev.StepSkipped():
            step = _step(state, event.step)
            step.status, step.ended, step.cause, step.reason = "skipped", event.at, event.cause, event.reason
        case ev.RunStarted():
            state.run, state.workflow, state.pinned = event.run, event.workflow, pinned.decode(event.value)
            state.started, state.begun = event.at, replace(event, value={})
        case ev.RunResumed():
            _resume(state, event)
        case ev.Progressed():
            _step(state, event.step).progress = event.value
        case ev.Noted():
            pass
        case ev.CancelRequested():
            state.cancelling = True
        case ev.GateAsked():
            step = _step(state, event.step)
            step.status, step.started, step.question = "waiting", event.at, event
        case ev.GateDecided():
            _step(state, event.step).decision = event
            if state.status == "waiting" and not state.gates:
                state.status = "interrupted"  # until somebody continues with it
        case ev.RunPaused():
            state.status, state.failure, state.exit_code, state.left = "waiting", None, 6, event.at
        case ev.RunEnding():
            state.ending, state.cancelling = event, False
            for step in state.steps.values():  # nothing of what has been done until now continues
                step.requested = False
        case ev.RunInterrupted():
            state.status, state.failure, state.exit_code = "interrupted", event.failure, event.exit_code
            state.left = event.at
        case ev.RunCompleted():
            state.status, state.ended, state.outputs, state.exit_code = "completed", event.at, event.value, 0
            state.mixed_cohorts = event.mixed_cohorts or {}
        case ev.RunFailed():
            state.status, state.ended = "failed", event.at
            state.failure, state.exit_code = event.failure, event.exit_code
        case ev.RunCancelled():
            state.status, state.ended, state.exit_code, state.failure = "cancelled", event.at, 1, None
        case _:
            assert_never(event)


def _step(state: RunState, name: str) -> StepState:
    step = state.steps.get(name)
    if step is None:
        step = state.steps[name] = StepState(name)
        if "." in name:
            state.inside.setdefault(ids.prefix(name), []).append(name)
    return step


def _forget_values(state: RunState, prefix: str) -> None:
    """Only the result of an iteration or an item is visible: nobody reads the values inside any more."""
    for name in state.inside.get(prefix, ()):
        step = state.steps[name]
        step.value = None
        for asked in step.organizations.values():
            asked.value = None
        for number in range(1, max(step.rounds, len(step.items or ())) + 1):
            _forget_values(state, ids.inside(name, number))
        if step.params is not None:
            _forget_values(state, ids.inside(name, 0))
        step.history.clear()


def _nested(state: RunState) -> dict[str, list[str]]:
    """Of each step that has any, the steps directly inside it, of all iterations or items."""
    found: dict[str, list[str]] = {}
    for prefix, names in state.inside.items():
        found.setdefault(ids.around(prefix)[0], []).extend(names)
    return found


def _start(step: StepState, event: ev.StepStarted) -> None:
    """Begin a step, or continue with one that is tried again: who has answered is not asked again."""
    step.status, step.deadline, step.carried = "running", event.deadline, event.carried
    step.central = event.central
    step.ended = step.failure = step.closed = None
    if step.started is None:
        step.started = event.at
    before = step.organizations
    step.organizations = {
        name: before.get(name) or OrganizationState(name, attempt=step.spared, spared=step.spared)
        for name in event.asked
    }


def _reuse(step: StepState, event: ev.StepReused) -> None:
    """Take answers that were given to an earlier run; a value of one follows."""
    step.reused = replace(event, value=None)  # the answers stand with the organizations
    if not isinstance(event.value, dict):
        return
    step.status, step.started, step.central = "running", event.at, event.central
    spared = step.spared
    step.organizations = {
        name: OrganizationState(name, "answered", spared, spared, value=value, since=event.at, subtasks=event.subtasks)
        for name, value in event.value.items()
    }


def _resume(state: RunState, event: ev.RunResumed) -> None:
    if state.over or event.retry:  # something is tried again, and so the run will end again
        state.ending = None
    state.status, state.failure, state.ended, state.exit_code = "running", None, None, None
    state.cancelling, state.left = False, None
    state.down += event.down
    state.pinned = state.pinned if event.value is None else pinned.decode(event.value)
    state.changes_accepted += [event.change_accepted] if event.change_accepted else []
    nested, waiting = _nested(state), list(event.reset)
    while waiting:
        name = waiting.pop()
        used = _step(state, name).attempts  # a token is never used for another question: attempts continue counting
        state.steps[name] = StepState(name, attempt=used, spared=used)
        waiting += nested.get(name, ())
    for name in event.retry:
        step = _step(state, name)
        step.status, step.failure, step.closed, step.spared = "pending", None, None, step.attempt
        if step.history or step.items is not None or step.params is not None or step.progress is not None:
            step.status = "running"  # it continues where it was
        for item in step.items or ():
            if item.status == "failed":
                item.status, item.failure = "open", None
        step.deadline = step.ended = step.question = step.decision = None
        for asked in step.organizations.values():
            if asked.status != "answered":
                asked.status, asked.failure, asked.spared = "waiting", None, asked.attempt
    for step in state.steps.values():
        if step.status != "running":
            continue
        for asked in step.organizations.values():
            asked.unsubmitted = asked.status == "requested" and asked.token in event.resubmit
        if step.requested:  # an attempt that nobody saw the end of counts for nothing
            step.requested, step.spared, step.failure = False, step.spared + 1, None
        sent = any(asked.attempt for asked in step.organizations.values())
        if step.deadline is not None and not sent:
            step.deadline += event.down
