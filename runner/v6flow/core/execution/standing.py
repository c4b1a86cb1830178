"""The state of one organization in a task step, and of one item in a foreach step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events import Failure, Subtask, Time
    from v6flow.core.json import Json

Cohort: TypeAlias = "tuple[str, tuple[str, ...]]"
"""The step whose answers they are, and the organizations that answered."""


class OrganizationState(Struct):
    """The state of one organization in a task step.

    `requested` until it has answered or failed; a `failed` one may be asked again; `waiting` has yet to be asked.
    """

    name: str
    status: Literal["waiting", "requested", "answered", "failed"] = "waiting"
    attempt: int = 0
    spared: int = 0  # attempts of earlier tries of the run, which count for nothing now
    token: str = ""
    digest: str = ""
    since: Time = 0.0
    accepted: str | None = None
    began: Time | None = None  # when it began to work on this attempt, by the federation's clock if that is recorded
    withdrawn: bool = False  # it was to be killed when the run was let go of: as killed it is asked again
    late: bool = False  # it answered this attempt when the step no longer waited for it
    unsubmitted: bool = False  # a person says that nothing came of submitting it
    value: Json = None
    failure: Failure | None = None
    log: str | None = None
    subtasks: tuple[Subtask, ...] = ()
    size: int | None = None  # of its result, in bytes
    image: str | None = None  # the digest of the image that ran
    origin: Mapping[str, str] | None = None  # digests of what its result was computed from
    hidden: bool = False  # it may have dispatched subtasks, which this user may not see


class ItemState(Struct):
    """The state of one item of a foreach step; `open` until it has ended."""

    key: str
    item: Json
    status: Literal["open", "completed", "failed"] = "open"
    value: Json = None
    carried: tuple[Cohort, ...] = ()
    accepted: bool = False
    failure: Failure | None = None
