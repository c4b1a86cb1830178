"""Sees what the runs of a task have dispatched, and ends what is left open of that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from v6flow.backends.vantage6 import causes
from v6flow.backends.vantage6.pace import patiently
from v6flow.backends.vantage6.records import COMPLETED
from v6flow.backends.vantage6.refusals import DeniedError, RefusedError
from v6flow.core import dispatched
from v6flow.core.events import Subtask
from v6flow.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from v6flow.backends.vantage6.api import Api
    from v6flow.backends.vantage6.asked import Asked
    from v6flow.backends.vantage6.directory import ServerDirectory
    from v6flow.backends.vantage6.pace import Backoff
    from v6flow.backends.vantage6.records import Run, TaskWithRuns

NOT_WAITED_FOR = "the central function ended without waiting for it"
HELD_FINISHED = "the server takes their task for finished, since another run of it has failed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the runs of a task have dispatched, by the organization whose run did; `open` are the runs that go on."""

    subtasks: Mapping[str, tuple[Subtask, ...]] = field(default_factory=dict)
    open: tuple[Run, ...] = ()
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The organizations of subtasks that were ended, and of those that could not be, with the reason."""

    ended: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    why: str = ""


class Dispatches:
    """Reads subtasks, in one request for a task that has none, and in two for any other.

    Generators yield the seconds that they want to wait. `note` is told what a person should know.
    """

    def __init__(
        self, api: Api, directory: ServerDirectory, waits: Callable[[], Backoff], note: Callable[[str], None]
    ) -> None:
        self._api = api
        self._directory = directory
        self._waits = waits
        self._note = note
        self._denied = False

    def see(self, asked: Asked) -> Generator[float, None, Seen]:
        """What a task that exists has dispatched by now."""
        if asked.task is None or (self._denied and not asked.request.central):
            return Seen(hidden=asked.task is not None)
        try:
            tasks = yield from self._below(asked.task, asked.job, sure=asked.request.central or bool(asked.dispatched))
        except DeniedError:
            self._denied = True
            return Seen(hidden=True)
        return self._seen(asked, tasks)

    def end_left(self, asked: Asked, seen: Seen) -> Generator[float, None, Seen]:
        """End what is open of what an ended task run has dispatched; how it stood before, and that it was ended."""
        if not seen.open or asked.task is None:
            return seen
        found = yield from self._end(asked.task, asked.job, seen.open)
        self._report(found, asked.request.step, f"attempt {asked.request.attempt}")
        runs = {str(run.id) for run in seen.open}
        return replace(
            seen,
            subtasks={
                name: tuple(_as_left(each) if each.run in runs else each for each in subtasks)
                for name, subtasks in seen.subtasks.items()
            },
        )

    def kill(self, task: int, job: int | None, asked: Asked | None) -> Generator[float, None, None]:
        """Kill a task with all that it has dispatched. Raises V6flowError if the server does not take that."""
        central = asked is not None and (asked.request.central or bool(asked.dispatched))
        before = yield from self._open(task, job, sure=central)
        self._api.kill_task(task)
        if not before and not central:
            return
        now = yield from self._open(task, job, sure=True)  # those that it has dispatched itself are killed with it
        found = yield from self._end(task, job, now)
        still = {run.id for run in now}
        names = [self._name(run.organization) for run in before if run.id not in still]
        found = replace(found, ended=(*names, *found.ended))
        if asked is None:
            self._report(found, "", f"task {task}")
        else:
            self._report(found, asked.request.step, f"attempt {asked.request.attempt}")

    def _report(self, found: Ended, step: str, of: str) -> None:
        if found.ended:
            self._note(dispatched.ended_note(step, of, found.ended))
        if found.left:
            self._note(dispatched.left_note(step, of, found.left, found.why))

    def _open(self, task: int, job: int | None, *, sure: bool) -> Generator[float, None, tuple[Run, ...]]:
        """The runs below a task that go on, as far as this user may see them."""
        try:
            tasks = yield from self._below(task, job, sure=sure)
        except DeniedError:
            return ()
        return tuple(run for each in tasks for run in each.runs if _is_open(run))

    def _end(self, task: int, job: int | None, runs: Sequence[Run]) -> Generator[float, None, Ended]:
        """Kill the tasks that some runs belong to, those nearest to the top first."""
        why = "the server did not end them"
        for number in dict.fromkeys(run.task for run in runs):
            try:
                if self._api.kill_task(number) == "finished":
                    why = HELD_FINISHED
            except (AccessError, RefusedError) as error:  # noqa: PERF203  each may be refused
                why = error.message
        if not runs:
            return Ended()
        still = {run.id for run in (yield from self._open(task, job, sure=True))}
        names = {run.id: self._name(run.organization) for run in runs}
        return Ended(
            tuple(name for number, name in names.items() if number not in still),
            tuple(name for number, name in names.items() if number in still),
            why,
        )

    def _below(self, task: int, job: int | None, *, sure: bool) -> Generator[float, None, tuple[TaskWithRuns, ...]]:
        """All tasks below a task; `sure`: it is worth asking for all of them at once."""
        try:
            if not sure and not (yield from patiently(partial(self._api.subtasks, task, patience=0.0), self._waits())):
                return ()
            return (yield from patiently(partial(self._api.below, task, job, patience=0.0), self._waits()))
        except RefusedError as error:
            if error.said is None or error.status not in (400, 404):
                raise
            return ()  # it was deleted

    def _seen(self, asked: Asked, tasks: Sequence[TaskWithRuns]) -> Seen:
        parents = {each.task.id: each.task for each in tasks}
        found: dict[str, list[Subtask]] = {}
        open_: list[Run] = []
        for whole in tasks:
            top = whole.task
            while top.parent is not None and top.parent in parents:
                top = parents[top.parent]
            root = self._name(top.init_organization) if top.init_organization is not None else ""
            if root not in asked.request.kwargs:
                root = next(iter(asked.request.kwargs))
            found.setdefault(root, []).extend(self._subtasks(whole, nested=top is not whole.task))
            open_ += [run for run in whole.runs if _is_open(run)]
        return Seen({name: tuple(subtasks) for name, subtasks in found.items()}, tuple(open_))

    def _subtasks(self, whole: TaskWithRuns, *, nested: bool) -> list[Subtask]:
        """How each organization fares in one task that was dispatched."""
        task = whole.task
        names = {run.id: self._name(run.organization) for run in whole.runs}
        parent = str(task.parent) if nested else ""
        by = self._name(task.init_organization) if nested and task.init_organization is not None else ""
        if not whole.runs:
            message = f"the server made no runs for subtask {task.id}"
            return [Subtask("nobody", "no runs", message, task=str(task.id), parent=parent, by=by)]
        found = []
        for run in whole.runs:
            failed = run.phase == "failed"
            cause = causes.of(run, task.image, names) if failed else None
            log = causes.shared_log(run)
            found.append(
                Subtask(
                    names[run.id],
                    run.status or "unknown",
                    cause.message if cause is not None else "",
                    causes.tail(log) if failed else "",
                    task=str(task.id),
                    parent=parent,
                    by=by,
                    run=str(run.id),
                    ended=_seconds(run.finished_at),
                    log=None if _is_open(run) else log or None,
                    consequence=run.is_consequence,
                    hint=cause.hint if cause is not None else None,
                )
            )
        return found

    def _name(self, organization: int) -> str:
        known = self._directory.by_id().get(organization)
        return known.short if known else f"organization {organization}"


def _is_open(run: Run) -> bool:
    return run.phase not in (COMPLETED, "failed")


def _as_left(subtask: Subtask) -> Subtask:
    """A subtask that was ended: one that no node has begun did not answer."""
    if subtask.status == "pending":
        return subtask
    return replace(subtask, status="killed by user", message=NOT_WAITED_FOR, consequence=True)


def _seconds(moment: str | None) -> float | None:
    """A moment as the server writes it, in seconds since 1970; None where it is none."""
    try:
        found = datetime.fromisoformat((moment or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or timezone.utc).timestamp()
