"""The tasks and runs that exist in an embedded federation, under one lock."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from itertools import count
from threading import Condition
from typing import TYPE_CHECKING, Any

from v6flow.backends.embedded.task_records import EmbeddedTask, TaskRun, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.backends.embedded.configuration import EmbeddedOrganization


class ForbiddenError(Exception):
    """The server would not do this; `status` is HTTP's, the message is for the algorithm's log."""

    def __init__(self, status: int, message: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


class Server:
    """Creates tasks and finds them; each algorithm sees only its own job.

    `changed` is the lock of everything here and in the nodes, and is notified whenever a run ended.
    """

    def __init__(self) -> None:
        self.changed = Condition()
        self.closed = False
        self._ids = count(1)
        self._run_ids = count(1)
        self._tasks: dict[int, EmbeddedTask] = {}
        self._callers: dict[str, TaskRun] = {}

    def create(
        self,
        *,
        name: str,
        description: str,
        image: str,
        databases: tuple[dict[str, Any], ...],
        asked: Iterable[tuple[EmbeddedOrganization, str, bytes]],
        attempt: int = 1,
        parent: TaskRun | None = None,
        withheld: bool = False,
        key: str = "",
    ) -> EmbeddedTask:
        """A new task; `asked` is, for each organization, the token of the question and its input."""
        with self.changed:
            id_ = next(self._ids)
            job = id_ if parent is None else parent.task.job
            task = EmbeddedTask(
                id_,
                job,
                name,
                description,
                image,
                databases,
                now(),
                attempt=attempt,
                parent=parent,
                withheld=withheld if parent is None else parent.task.withheld,
                key=key,
            )
            for organization, token, input_ in asked:
                task.runs.append(TaskRun(next(self._run_ids), task, organization, token, input_))
            self._tasks[id_] = task
            if parent is not None:
                parent.children.append(task)
                parent.waiting_for += len(task.runs)
            return task

    def admit(self, run: TaskRun, token: str) -> None:
        """From now on whoever shows this token is that run's algorithm."""
        with self.changed:
            run.bearer = token
            self._callers[token] = run

    def caller(self, token: str) -> TaskRun | None:
        """Whose token this is, None if nobody's."""
        with self.changed:
            run = self._callers.get(token)
            return None if run is None or run.ended else run

    def tasks(self, job: int) -> list[EmbeddedTask]:
        """The tasks of a job, newest first."""
        with self.changed:
            return sorted((task for task in self._tasks.values() if task.job == job), key=lambda task: -task.id)

    def task(self, job: int, id_: int) -> EmbeddedTask | None:
        """A task of a job, None if the job has no such task."""
        with self.changed:
            task = self._tasks.get(id_)
            return task if task is not None and task.job == job else None

    def runs(self, job: int, task: int | None = None) -> list[TaskRun]:
        """The runs of a job, or of one of its tasks, newest first."""
        chosen = (each for each in self.tasks(job) if task is None or each.id == task)
        return sorted((run for each in chosen for run in each.runs), key=lambda run: -run.id)

    def run(self, job: int, id_: int) -> TaskRun | None:
        """A run of a job, None if the job has no such run."""
        return next((run for run in self.runs(job) if run.id == id_), None)

    def wait(self, task: EmbeddedTask, caller: TaskRun, seconds: float) -> None:
        """Returns when the task has ended, the caller is gone, all is closed, or the time is up."""
        with self.changed:
            self.changed.wait_for(lambda: has_ended(task) or caller.ended or self.closed, seconds)

    def forget(self, run: TaskRun) -> None:
        """What has ended is no caller any more; a job is dropped when the runs of its own task have."""
        with self.changed:
            if run.bearer is not None:
                self._callers.pop(run.bearer, None)
            if run.task.parent is None and all(each.ended for each in run.task.runs):
                for each in run.task.runs:  # the backend remembers them, and they may be large
                    each.input, each.body, each.log, each.children = b"", None, "", []
                self._tasks = {id_: task for id_, task in self._tasks.items() if task.job != run.task.job}

    def close(self) -> None:
        """Lets go of everybody who waits."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def now() -> datetime:
    """The time as the server writes it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def new_secret() -> bytes:
    """What nobody can guess."""
    return secrets.token_bytes(32)
