"""What happens to a step as a whole, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events.details import Failure, Subtask, Time
    from v6flow.core.json import Json


class StepStarted(Struct, frozen=True):
    """A step began: who is asked (empty for a local step) and until when (None: no end).

    `central`: whom it asks runs a central function.
    """

    at: Time
    step: str
    asked: tuple[str, ...] = ()
    deadline: Time | None = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    central: bool = False


class StepReused(Struct, frozen=True):
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


class StepNotReused(Struct, frozen=True):
    """A step that may reuse a result has found none; `reason` says why."""

    at: Time
    step: str
    reason: str


class StepClosed(Struct, frozen=True):
    """No answer is waited for any longer: the deadline passed, or the quorum is met and was not to wait."""

    at: Time
    step: str
    reason: str


class RoundEnded(Struct, frozen=True):
    """The state of a repeat step after an iteration, the first of which is 1; `round` 0: the state it begins with.

    `converged`: its condition holds, and there are no more iterations.
    """

    at: Time
    step: str
    round: int
    value: Json = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False
    converged: bool = False


class ItemsListed(Struct, frozen=True):
    """The items of a foreach step became known: `value` has the key and the item of each."""

    at: Time
    step: str
    value: list[list[Json]]
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False


class ItemEnded(Struct, frozen=True):
    """An item of a foreach step, numbered from 1, ended: with its `value`, or with a failure."""

    at: Time
    step: str
    item: int
    value: Json = None
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False
    failure: Failure | None = None


class ParamsGiven(Struct, frozen=True):
    """The params with which a workflow step runs the other file, its defaults included."""

    at: Time
    step: str
    value: dict[str, Json]
    carried: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepted: bool = False


class LocalRequested(Struct, frozen=True):
    """A local step's child process is about to start; it has until `deadline` (None: no end).

    `origin` has a digest of each thing that it computes with, by what it is (`function`, `script`, `files`); None: not
    recorded.
    """

    at: Time
    step: str
    attempt: int
    deadline: Time | None = None
    origin: Mapping[str, str] | None = None


class LocalFailed(Struct, frozen=True):
    """An attempt of a local step failed; there may be another."""

    at: Time
    step: str
    attempt: int
    failure: Failure
    log: str | None = None


class StepCompleted(Struct, frozen=True):
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


class StepFailed(Struct, frozen=True):
    """A step failed for good."""

    at: Time
    step: str
    failure: Failure


class StepSkipped(Struct, frozen=True):
    """A step is left out; `reason` says why.

    `when`: its condition does not hold, and `cause` is the step itself. `failed` and `skipped`: what it needs has not
    completed, and `cause` is the step that failed, or that a condition left out, first.
    """

    at: Time
    step: str
    cause: str
    reason: str = "failed"


class Progressed(Struct, frozen=True):
    """How far a step has come, as its kind records it in `value`: of kinds that have no events of their own."""

    at: Time
    step: str
    value: Json


class GateAsked(Struct, frozen=True):
    """A gate waits for a person, one of `approvers` if there are any; `message` is what it asks."""

    at: Time
    step: str
    message: str
    approvers: tuple[str, ...] = ()


class GateDecided(Struct, frozen=True):
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
