"""What happens to a task at the organizations that are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events.details import Failure, Subtask, Time
    from v6flow.core.json import Json


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
