"""What happens to a run as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events.details import Failure, Time
    from v6flow.core.json import Json


class RunStarted(Struct, frozen=True):
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


class RunResumed(Struct, frozen=True):
    """Somebody took the run up again; `down` is how many seconds nobody had held it.

    `changed` are the steps that were changed before they asked anybody; `value` is then what is pinned from now on.
    `retry` are the failed steps that ask again whom they lack; `reset` are those done wholly again. `resubmit` are the
    tokens whose submission had no effect, according to a person. `change_accepted` is the reason that a person
    gave for continuing though data or code have changed. `by` and `via` are as in RunStarted.
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


class RunPaused(Struct, frozen=True):
    """Nothing can continue until people have decided at these gates: the process releases the run."""

    at: Time
    gates: tuple[str, ...]


class Noted(Struct, frozen=True):
    """Something that a person should know and that changes nothing: a task that could not be killed, say."""

    at: Time
    message: str


class CancelRequested(Struct, frozen=True):
    """A person asked for the run to be cancelled; `by` and `via` are as in RunStarted."""

    at: Time
    by: str = ""
    via: str = ""


class RunInterrupted(Struct, frozen=True):
    """The process released the run, which can be resumed: a signal, an unreachable server, no space."""

    at: Time
    failure: Failure
    exit_code: int


class RunEnding(Struct, frozen=True):
    """It is known how the run ends, and what is under `finally` is done before it does.

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


class RunCompleted(Struct, frozen=True):
    """The run completed; `value` holds its outputs, and `mixed_cohorts` why some of them may mix cohorts."""

    at: Time
    value: dict[str, Json]
    mixed_cohorts: Mapping[str, str] | None = None


class RunFailed(Struct, frozen=True):
    """The run failed; `failure` is the first cause."""

    at: Time
    failure: Failure
    exit_code: int = 1


class RunCancelled(Struct, frozen=True):
    """The run was cancelled by a person."""

    at: Time
