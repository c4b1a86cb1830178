"""What happens to a task at the organizations that are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events.details import Failure, Subtask, Time
    from v6flow.core.json import Json


class TaskRequested(Struct, frozen=True):
    """The intent to ask organizations, durable before anything is sent; `digest` is that of what is sent."""

    at: Time
    step: str
    organizations: tuple[str, ...]
    attempt: int
    token: str
    digest: str


class TaskAccepted(Struct, frozen=True):
    """The federation has the task; `remote` is its name there."""

    at: Time
    step: str
    token: str
    remote: str


class TaskStarted(Struct, frozen=True):
    """An organization began to work on an attempt: at the time `began`, if the federation records it.

    `began` is in seconds since 1970-01-01 UTC, by the federation's clock.
    """

    at: Time
    step: str
    organization: str
    attempt: int
    began: Time | None = None


class SubtasksSeen(Struct, frozen=True):
    """A task run that is still at work was seen to have dispatched these subtasks, or these were seen to have ended."""

    at: Time
    step: str
    organization: str
    attempt: int
    subtasks: tuple[Subtask, ...] = ()


class TaskAnswered(Struct, frozen=True):
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


class TaskFailed(Struct, frozen=True):
    """An organization answered an attempt with a failure."""

    at: Time
    step: str
    organization: str
    attempt: int
    failure: Failure
    log: str | None = None
    subtasks: tuple[Subtask, ...] = ()


class TaskLate(Struct, frozen=True):
    """An organization answered when the step no longer waited for it: the answer is not used, and not kept."""

    at: Time
    step: str
    organization: str
    attempt: int


class TaskWithdrawn(Struct, frozen=True):
    """What was asked under a token is about to be killed, since the run is released: it may be asked again."""

    at: Time
    step: str
    token: str
