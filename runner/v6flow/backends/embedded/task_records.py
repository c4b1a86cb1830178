"""What a vantage6 server would keep: tasks, their runs at organizations, and how those ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from v6flow.backends.embedded.configuration import EmbeddedOrganization

PENDING, ACTIVE, COMPLETED, KILLED = "pending", "active", "completed", "killed by user"

STATUS_OF_KIND = {
    "crashed": "crashed",
    "garbage": "failed",
    "start_failed": "start failed",
    "unknown": "unknown error",
    "not_allowed": "not allowed",
    "no_image": "non-existing Docker image",
    "no_database": "failed",
    "killed": KILLED,
}
"""vantage6's word for a run that failed, by our kind of failure."""


class Answer(Struct, frozen=True):
    """A task run's result, as the bytes that its algorithm wrote."""

    body: bytes
    log: str = ""


class Mishap(Struct, frozen=True):
    """Why a task run failed; `kind` and `own` are as in `backends.base.Failed`."""

    kind: str
    message: str
    hint: str | None = None
    log: str = ""
    own: bool = False


Outcome: TypeAlias = Answer | Mishap


class EmbeddedTask(Struct, eq=False):
    """A task as the server knows it; `parent` is the task run that created it, None if v6flow did."""

    id: int
    job: int
    name: str
    description: str
    image: str
    databases: tuple[dict[str, Any], ...]  # each with its label, as in a POST of a task
    created_at: datetime
    attempt: int = 1
    parent: TaskRun | None = None
    withheld: bool = False  # what its runs print is not kept
    key: str = ""  # of a subtask: its name, which stays the same when its parent is started again
    runs: list[TaskRun] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many central functions are above it."""
        return 0 if self.parent is None else self.parent.task.depth + 1


class TaskRun(Struct, eq=False):
    """A task at one organization. Everything below `input` changes, and only under the server's lock."""

    id: int
    task: EmbeddedTask
    organization: EmbeddedOrganization
    token: str  # names the question for ever
    input: bytes
    status: str = PENDING
    bearer: str | None = None  # what its algorithm shows to the server, while it runs
    work: str | None = None  # the folder it runs in
    started_at: datetime | None = None
    finished_at: datetime | None = None
    body: bytes | None = None
    log: str = ""
    claimed: bool = False  # somebody concludes it; `ended` is told when all about its end is known
    ended: bool = False
    killed: bool = False
    silent: bool = False  # nobody will ever hear of it
    slot: bool = False  # it occupies one of the places to work at once
    children: list[EmbeddedTask] = field(default_factory=list)
    waiting_for: int = 0  # how many runs of its children have not ended

    @property
    def root(self) -> TaskRun:
        """The run of v6flow's own task that it comes from: itself, if nobody dispatched it."""
        return self if self.task.parent is None else self.task.parent.root

    def descendants(self) -> Iterator[TaskRun]:
        """The runs of all tasks that it created, and those they created."""
        for task in self.children:
            for run in task.runs:
                yield run
                yield from run.descendants()


def has_failed(status: str) -> bool:
    """Whether this is one of vantage6's words for a failure."""
    return status not in (PENDING, "initializing", ACTIVE, COMPLETED)


def has_ended(task: EmbeddedTask) -> bool:
    """Whether nothing more will be heard of a task.

    A task with a run that failed and others that are silent for ever has ended; one whose runs are merely
    silent has not, as at a real server, where the node may still come online.
    """
    return all(run.ended or run.silent for run in task.runs) and (
        any(has_failed(run.status) for run in task.runs) or all(run.ended for run in task.runs)
    )


def status_of(task: EmbeddedTask) -> str:
    """A task's status in vantage6's words, derived from its runs as the server does.

    With one difference: while a run is at work, a failure of another does not make the task look finished,
    or a central function would continue with what has arrived by then.
    """
    statuses = [run.status for run in task.runs]
    if has_ended(task):
        failures = {status for status in statuses if has_failed(status)}
        if failures:
            return failures.pop() if len(failures) == 1 else "failed"
        return COMPLETED
    return ACTIVE if ACTIVE in statuses else PENDING
