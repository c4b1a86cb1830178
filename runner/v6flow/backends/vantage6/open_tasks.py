"""What was asked under one token, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Subtask


class OpenTask(Struct, eq=False):
    """A request and the task that it became; all that changes is changed by who holds the backend's lock.

    Organizations are named as the federation file does, runs by their ids at the server.
    """

    request: TaskRequest
    waiting: set[str]  # organizations whose end is still to be reported
    begun: bool = False  # something may have been sent
    settled: bool = False  # it is known what became of sending it
    accepted: bool = False
    task: int | None = None
    job: int | None = None  # what the task has in common with all that it dispatches
    doubtful: bool = False  # it was sent twice: a twin may show up
    known: bool = False  # which runs it has, as far as it has any
    runs: dict[int, str] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    looked_at: set[int] = field(default_factory=set)  # by somebody, just now
    announced: set[int] = field(default_factory=set)  # the server has said that their ends are about to be there
    claimed: set[int] = field(default_factory=set)  # ended, and by somebody about to be told
    hidden: set[int] = field(default_factory=set)  # not in this user's list of open runs
    apart: bool = False  # its results are too large to be read together with its runs
    working: set[str] = field(default_factory=set)
    ending: set[int] = field(default_factory=set)  # ended, or about to be reported as such
    dispatched: Mapping[str, tuple[Subtask, ...]] = field(default_factory=dict)  # when it was last seen
    seeing: bool = False  # somebody is about to see what it has dispatched

    def is_above(self, task: int) -> bool:
        """Whether a task is this one, or was dispatched by it as far as that is known."""
        return task == self.task or any(
            each.task == str(task) for subtasks in self.dispatched.values() for each in subtasks
        )

    @property
    def token(self) -> str:
        return self.request.token
