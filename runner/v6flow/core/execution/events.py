"""What happened in a run: a closed union of events, the only thing a journal holds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json

Time: TypeAlias = float
"""Seconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an organization, a step or a run failed.

    `kind` is one word (`crashed`, `garbage`, `start_failed`, `unknown`, `not_allowed`, `timeout`, `quorum`,
    `cohorts`, `expression`, …); `hint` says what to do next; `log_tail` is the last lines of the log.
    """

    kind: str
    message: str
    step: str | None = None
    organization: str | None = None
    hint: str | None = None
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class Subtask:
    """How one organization fared in what a central function dispatched; `status` is vantage6's word.

    `task` names the task that this is a run of. A subtask of a subtask has as `parent` the `task` whose run at the
    organization `by` dispatched it; both are empty for what the step's own task run dispatched. `run` is the
    federation's name for the run, by which its log is found there; `log` the digest of the log that is kept.
    `consequence`: it did not fail by itself, but was ended for another's failure.
    """

    organization: str
    status: str
    message: str = ""
    log_tail: str = ""
    task: str = ""
    parent: str = ""
    by: str = ""
    run: str = ""
    ended: Time | None = None
    log: str | None = None
    consequence: bool = False
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run began. `value` is what is pinned for every resume: params, paths, settings, fingerprints (see plan).

    `by` is the system's user who started it, and `via` what it was started from (see `starter`); empty: not recorded.
    `key` names it for a scheduler, `schedule` is the schedule that started it, for the moment `planned`. `comment` and
    `labels` are a person's words about it.
    """

    at: Time
    run: str
    workflow: str
    value: dict[str, Json]
    by: str = ""
    via: str = ""
    key: str | None = None
    schedule: str | None = None
    planned: Time | None = None
    comment: str = ""
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RunResumed:
    """Somebody took the run up again; `down` is how many seconds nobody had held it.

    `changed` are the steps that were changed before they asked anybody; `value` is then what is pinned from now on.
    `retry` are the failed steps that ask again whom they lack; `reset` are those done wholly anew. `resubmit` are the
    tokens of which a person says that nothing came of submitting them. `change_accepted` is the reason that a person
    gave for going on though data or code have changed. `by` and `via` are as in RunStarted.
    """

    at: Time
    down: float
    value: dict[str, Json] | None = None
    changed: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    resubmit: tuple[str, ...] = ()
    change_accepted: str = ""
    by: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step began: who is asked (empty for a local step) and until when (None: no end).

    `central`: whom it asks runs a central function.
    """

    at: Time
    step: str
    asked: tuple[str, ...] = ()
    deadline: Time | None = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    central: bool = False


@dataclass(frozen=True, slots=True)
class StepReused:
    """A step takes the result that the step `source` of an earlier run has, the oldest part of which is of `answered`.

    `value` is what each organization answered, by its name, and `subtasks` belong to that; None for a local step, whose
    value follows when it completes.
    """

    at: Time
    step: str
    run: str
    source: str
    answered: Time
    value: Json = None
    subtasks: tuple[Subtask, ...] = ()
    central: bool = False


@dataclass(frozen=True, slots=True)
class StepNotReused:
    """A step that may reuse a result has found none; `reason` says why."""

    at: Time
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskRequested:
    """The intent to ask organizations, durable before anything is sent; `digest` is that of what is sent."""

    at: Time
    step: str
    organizations: tuple[str, ...]
    attempt: int
    token: str
    digest: str


@dataclass(frozen=True, slots=True)
class TaskAccepted:
    """The federation has the task; `remote` is its name there."""

    at: Time
    step: str
    token: str
    remote: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """An organization began to work on an attempt: at the time `began`, if the federation records it.

    `began` is in seconds since 1970-01-01 UTC, by the federation's clock.
    """

    at: Time
    step: str
    organization: str
    attempt: int
    began: Time | None = None


@dataclass(frozen=True, slots=True)
class SubtasksSeen:
    """A task run that is still at work was seen to have dispatched these subtasks, or these were seen to have ended."""

    at: Time
    step: str
    organization: str
    attempt: int
    subtasks: tuple[Subtask, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskAnswered:
    """An organization's result, as parsed JSON; `log` is the digest of its log.

    `size` is that of the result in bytes, as it was received and before it was parsed; `image` is the digest of the
    image that ran. `origin` has a digest of each thing that the result was computed from, by what it is (`database`,
    `algorithm`, `environment`). None: not recorded. `hidden`: it may have dispatched subtasks, which this user may not
    see.
    """

    at: Time
    step: str
    organization: str
    attempt: int
    value: Json
    log: str | None = None
    subtasks: tuple[Subtask, ...] = ()
    size: int | None = None
    image: str | None = None
    origin: Mapping[str, str] | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """An organization answered an attempt with a failure."""

    at: Time
    step: str
    organization: str
    attempt: int
    failure: Failure
    log: str | None = None
    subtasks: tuple[Subtask, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskLate:
    """An organization answered when the step no longer waited for it: the answer is not used, and not kept."""

    at: Time
    step: str
    organization: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TaskWithdrawn:
    """What was asked under a token is about to be killed, since the run is let go of: it may be asked anew."""

    at: Time
    step: str
    token: str


@dataclass(frozen=True, slots=True)
class StepClosed:
    """No answer is waited for any longer: the deadline passed, or the quorum is met and was not to wait."""

    at: Time
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """The state of a repeat step after a round, the first of which is 1; `round` 0: the state it begins with.

    `converged`: its condition holds, and there are no more rounds.
    """

    at: Time
    step: str
    round: int
    value: Json = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False
    converged: bool = False


@dataclass(frozen=True, slots=True)
class ItemsListed:
    """The items of a foreach step became known: `value` has the key and the item of each."""

    at: Time
    step: str
    value: list[list[Json]]
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """An item of a foreach step, numbered from 1, ended: with its `value`, or with a failure."""

    at: Time
    step: str
    item: int
    value: Json = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ParamsGiven:
    """The params with which a workflow step runs the other file, its defaults included."""

    at: Time
    step: str
    value: dict[str, Json]
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class LocalRequested:
    """A local step's child process is about to start; it has until `deadline` (None: no end).

    `origin` has a digest of each thing that it computes with, by what it is (`function`, `script`, `files`); None: not
    recorded.
    """

    at: Time
    step: str
    attempt: int
    deadline: Time | None = None
    origin: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LocalFailed:
    """An attempt of a local step failed; there may be another."""

    at: Time
    step: str
    attempt: int
    failure: Failure
    log: str | None = None


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """A step completed; `value` is a local step's result, `carried` the cohorts its value was computed from.

    A cohort is (the step whose answers they are, the organizations that answered). `accepted` says that the
    difference between the cohorts was accepted, and `mixed_cohorts` is the reason where this step accepted it.
    `properties` are the facts that the step publishes. `exhausted` is the number of iterations of a repeat step that
    reached its max while its condition did not hold, else 0.
    """

    at: Time
    step: str
    value: Json = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False
    log: str | None = None
    properties: Mapping[str, Json] | None = None
    mixed_cohorts: str | None = None
    exhausted: int = 0


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step failed for good."""

    at: Time
    step: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step is left out; `reason` says why.

    `when`: its condition does not hold, and `cause` is the step itself. `failed` and `skipped`: what it needs has not
    completed, and `cause` is the step that failed, or that a condition left out, first.
    """

    at: Time
    step: str
    cause: str
    reason: str = "failed"


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a step has come, as its kind records it in `value`: of kinds that have no events of their own."""

    at: Time
    step: str
    value: Json


@dataclass(frozen=True, slots=True)
class GateAsked:
    """A gate waits for a person, one of `approvers` if there are any; `message` is what it asks."""

    at: Time
    step: str
    message: str
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateDecided:
    """A person, by the name of the system's user, has `approved` or `rejected` what a gate asks.

    `inputs` are the values that the person gave, by name; `via` is as in RunStarted.
    """

    at: Time
    step: str
    decision: str
    by: str
    comment: str = ""
    inputs: Mapping[str, Json] | None = None
    via: str = ""


@dataclass(frozen=True, slots=True)
class RunPaused:
    """Nothing can go on until people have decided at these gates: the process lets go of the run."""

    at: Time
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a person should know and that changes nothing: a task that could not be killed, say."""

    at: Time
    message: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A person asked for the run to be cancelled; `by` and `via` are as in RunStarted."""

    at: Time
    by: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class RunInterrupted:
    """The process let go of the run, which can be resumed: a signal, an unreachable server, no space."""

    at: Time
    failure: Failure
    exit_code: int


@dataclass(frozen=True, slots=True)
class RunEnding:
    """It is known how the run ends, and what stands under `finally` is done before it does.

    `status` is `completed` (`value` holds its outputs), `failed` or `cancelled`. `mixed_cohorts` has, for each output
    that mixes cohorts, the reason why it may.
    """

    at: Time
    status: str
    value: dict[str, Json]
    failure: Failure | None = None
    exit_code: int = 0
    mixed_cohorts: Mapping[str, str] | None = None

    def outcome(self, now: Time) -> RunCompleted | RunFailed | RunCancelled:
        """The event that ends the run."""
        if self.failure is not None:
            return RunFailed(now, self.failure, self.exit_code)
        if self.status == "completed":
            return RunCompleted(now, self.value, self.mixed_cohorts)
        return RunCancelled(now)


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The run completed; `value` holds its outputs, and `mixed_cohorts` why some of them may mix cohorts."""

    at: Time
    value: dict[str, Json]
    mixed_cohorts: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run failed; `failure` is the first cause."""

    at: Time
    failure: Failure
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The run was cancelled by a person."""

    at: Time


Event: TypeAlias = (
    RunStarted
    | RunResumed
    | StepStarted
    | StepReused
    | StepNotReused
    | TaskRequested
    | TaskAccepted
    | TaskStarted
    | SubtasksSeen
    | TaskAnswered
    | TaskFailed
    | TaskLate
    | TaskWithdrawn
    | StepClosed
    | RoundEnded
    | ItemsListed
    | ItemEnded
    | ParamsGiven
    | LocalRequested
    | LocalFailed
    | StepCompleted
    | StepFailed
    | StepSkipped
    | Progressed
    | GateAsked
    | GateDecided
    | RunPaused
    | Noted
    | CancelRequested
    | RunInterrupted
    | RunEnding
    | RunCompleted
    | RunFailed
    | RunCancelled
)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
"""Each kind of event by the name it has in a journal."""

_FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(field.name for field in fields(kind)) for name, kind in EVENTS.items()
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    kind.__name__: {field.name: field.default for field in fields(kind)}
    for kind in (*EVENTS.values(), Failure, Subtask)
}  # what equals its default is left out of a journal
_TUPLES = {"asked", "organizations", "changed", "retry", "reset", "resubmit", "approvers", "gates"}
_HAS_VALUE = {name for name, names in _FIELDS.items() if "value" in names}


def encode(event: Event) -> tuple[str, dict[str, Any], Json]:
    """An event as (its kind, its fields but for `value` as plain JSON, its `value`, None if it has none)."""
    kind = type(event).__name__
    data: dict[str, Any] = {}
    for name in _FIELDS[kind]:
        if name == "value":
            continue
        item = getattr(event, name)
        if isinstance(item, Failure):
            item = _encode_record(item)
        elif name == "subtasks":
            if not item:
                continue
            item = [_encode_record(subtask) for subtask in item]
        elif item == _DEFAULTS[kind][name]:
            continue
        data[name] = item
    return kind, data, getattr(event, "value", None)


def decode(kind: str, data: dict[str, Any], value: Json) -> Event:
    """The event that `encode` took apart. Raises KeyError for an unknown kind, TypeError for unknown fields."""
    for name in _TUPLES & data.keys():
        data[name] = tuple(data[name])
    if "carried" in data:
        data["carried"] = tuple((step, tuple(cohort)) for step, cohort in data["carried"])
    if data.get("failure") is not None:
        data["failure"] = Failure(**data["failure"])
    if "subtasks" in data:
        data["subtasks"] = tuple(Subtask(**subtask) for subtask in data["subtasks"])
    if kind in _HAS_VALUE:
        data["value"] = value
    return EVENTS[kind](**data)


def _encode_record(record: Failure | Subtask) -> dict[str, Any]:
    defaults = _DEFAULTS[type(record).__name__]
    return {name: item for name in defaults if (item := getattr(record, name)) != defaults[name]}
