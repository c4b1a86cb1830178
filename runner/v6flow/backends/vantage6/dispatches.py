"""Sees what the runs of a task have dispatched, and ends what is left open of that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow.backends.vantage6 import classification
from v6flow.backends.vantage6.backoff import is_away
from v6flow.backends.vantage6.executor import patiently
from v6flow.backends.vantage6.records import COMPLETED
from v6flow.backends.vantage6.refusals import DeniedError, RefusedError
from v6flow.core.execution import dispatched
from v6flow.core.execution.events import Subtask
from v6flow.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from v6flow.backends.vantage6.backoff import Backoff
    from v6flow.backends.vantage6.calls import Api
    from v6flow.backends.vantage6.open_tasks import OpenTask
    from v6flow.backends.vantage6.records import Run, TaskWithRuns
    from v6flow.backends.vantage6.server_names import ServerDirectory

T = TypeVar("T")

NOT_WAITED_FOR = "the central function ended without waiting for it"
HELD_FINISHED = "the server takes their task for finished, since another run of it has failed"


class Seen(Struct, frozen=True):
    """What the runs of a task have dispatched, by the organization whose run did; `open` are the runs that continue."""

    subtasks: Mapping[str, tuple[Subtask, ...]] = field(default_factory=dict)
    open: tuple[Run, ...] = ()
    hidden: bool = False


class Dispatches:
    """Reads subtasks, in one request for a task that has none, and in two for any other.

    `note` gets messages for people.
    """

    def __init__(
        self, api: Api, directory: ServerDirectory, waits: Callable[[], Backoff], note: Callable[[str], None]
    ) -> None:
        self._api = api
        self._directory = directory
        self._waits = waits
        self._note = note
        self._denied = False

    async def see(self, asked: OpenTask) -> Seen:
        """What a task that exists has dispatched by now."""
        if asked.task is None or (self._denied and not asked.request.central):
            return Seen(hidden=asked.task is not None)
        try:
            tasks = await self._below(asked.task, asked.job, sure=asked.request.central or bool(asked.dispatched))
        except DeniedError:
            self._denied = True
            return Seen(hidden=True)
        return self._seen(asked, tasks)

    async def end_left(self, asked: OpenTask, seen: Seen) -> Seen:
        """End what is open of what an ended task run has dispatched; how it stood before, and that it was ended."""
        if not seen.open or asked.task is None:
            return seen
        refused = ""
        for number in _tasks(seen.open):
            refused = (await patiently(partial(self._kill, number), self._waits())) or refused
        left = await patiently(partial(self._open, asked.task, asked.job), self._waits())
        self._report(seen.open, left, refused, asked.request.step, f"attempt {asked.request.attempt}")
        runs = {str(run.id) for run in seen.open}
        return replace(
            seen,
            subtasks={
                name: tuple(_as_left(each) if each.run in runs else each for each in subtasks)
                for name, subtasks in seen.subtasks.items()
            },
        )

    def kill(self, task: int, job: int | None, asked: OpenTask | None) -> None:
        """Kill a task with all that it has dispatched. Raises V6flowError if the server cannot be reached now.

        Of a task that is not known to dispatch anything, that is looked for only once it is killed.
        """
        suspect = asked is None or asked.request.central or bool(asked.dispatched)
        before = self._open(task, job) if suspect else ()
        self._api.kill_task(task)
        now = self._open(task, job)  # what it has dispatched itself is killed with it
        refused = ""
        for number in _tasks(now):
            refused = self._kill(number) or refused
        left = self._open(task, job) if now else ()
        whose = ("", f"task {task}") if asked is None else (asked.request.step, f"attempt {asked.request.attempt}")
        self._report((*before, *now), left, refused, *whose)

    def _report(self, runs: Sequence[Run], left: Sequence[Run], refused: str, step: str, of: str) -> None:
        """Tell which runs were ended, and which could not be."""
        still = {run.id for run in left}
        names = {run.id: self._directory.name_of(run.organization) for run in runs}
        ended = [name for number, name in names.items() if number not in still]
        kept = [name for number, name in names.items() if number in still]
        if ended:
            self._note(dispatched.ended_note(step, of, ended))
        if kept:
            self._note(dispatched.left_note(step, of, kept, refused or "the server did not end them"))

    def _kill(self, task: int) -> str:
        """Kill a task; returns why that cannot be, if so. Raises UnreachableError."""
        try:
            return HELD_FINISHED if self._api.kill_task(task) == "finished" else ""
        except (AccessError, RefusedError) as error:
            if is_away(error):
                raise
            return error.message

    def _open(self, task: int, job: int | None) -> tuple[Run, ...]:
        """The runs below a task that continue, as far as this user may see them."""
        try:
            if not self._read(partial(self._api.subtasks, task)):
                return ()
            return tuple(run for each in self._read(partial(self._api.below, task, job)) for run in each.runs
                         if _is_open(run))  # fmt: skip
        except DeniedError:
            return ()

    async def _below(self, task: int, job: int | None, *, sure: bool) -> tuple[TaskWithRuns, ...]:
        """All tasks below a task; `sure`: it is worth asking for all of them at once."""
        if not sure:
            some = partial(self._read, partial(self._api.subtasks, task, patience=0.0))
            if not await patiently(some, self._waits()):
                return ()
        every = partial(self._read, partial(self._api.below, task, job, patience=0.0))
        return await patiently(every, self._waits())

    @staticmethod
    def _read(read: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """What is read; nothing of a task that was deleted."""
        try:
            return read()
        except RefusedError as error:
            if error.said is None or error.status not in (400, 404):
                raise
            return ()

    def _seen(self, asked: OpenTask, tasks: Sequence[TaskWithRuns]) -> Seen:
        parents = {each.task.id: each.task for each in tasks}
        found: dict[str, list[Subtask]] = {}
        open_: list[Run] = []
        for whole in tasks:
            top = whole.task
            while top.parent is not None and top.parent in parents:
                top = parents[top.parent]
            root = self._directory.name_of(top.init_organization) if top.init_organization is not None else ""
            if root not in asked.request.kwargs:
                root = next(iter(asked.request.kwargs))
            found.setdefault(root, []).extend(self._subtasks(whole, nested=top is not whole.task))
            open_ += [run for run in whole.runs if _is_open(run)]
        return Seen({name: tuple(subtasks) for name, subtasks in found.items()}, tuple(open_))

    def _subtasks(self, whole: TaskWithRuns, *, nested: bool) -> list[Subtask]:
        """The state of each organization in one task that was dispatched."""
        task = whole.task
        names = {run.id: self._directory.name_of(run.organization) for run in whole.runs}
        parent = str(task.parent) if nested else ""
        by = self._directory.name_of(task.init_organization) if nested and task.init_organization is not None else ""
        if not whole.runs:
            message = f"the server made no runs for subtask {task.id}"
            return [Subtask("nobody", "no runs", message, task=str(task.id), parent=parent, by=by)]
        found = []
        for run in whole.runs:
            failed = run.phase == "failed"
            cause = classification.of(run, task.image, names) if failed else None
            log = classification.shared_log(run)
            found.append(
                Subtask(
                    names[run.id],
                    run.status or "unknown",
                    cause.message if cause is not None else "",
                    classification.tail(log) if failed else "",
                    task=str(task.id),
                    parent=parent,
                    by=by,
                    run=str(run.id),
                    ended=run.ended,
                    log=None if _is_open(run) else log or None,
                    consequence=run.is_consequence,
                    hint=cause.hint if cause is not None else None,
                )
            )
        return found


def _tasks(runs: Sequence[Run]) -> list[int]:
    """The tasks of some runs, those nearest to the top first."""
    return sorted({run.task for run in runs})


def _is_open(run: Run) -> bool:
    return run.phase not in (COMPLETED, "failed")


def _as_left(subtask: Subtask) -> Subtask:
    """A subtask that was ended: one that no node has begun did not answer."""
    if subtask.status == "pending":
        return subtask
    return replace(subtask, status="killed by user", message=NOT_WAITED_FOR, consequence=True)
