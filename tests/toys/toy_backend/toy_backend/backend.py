"""Asks organizations that are threads of this process; what they answered is kept in a file each."""

from __future__ import annotations

import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from toy_backend.configuration import IMAGE
from toy_backend.methods import METHODS, NOTHING
from v6flow.backends.base import Accepted, Answered, Dispatched, Failed, Looked, Remarked
from v6flow.core.execution.dispatched import ended_note
from v6flow.core.execution.events import Subtask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toy_backend.configuration import ToyFederation
    from v6flow.backends.base import Report
    from v6flow.core.directory import Directory
    from v6flow.core.execution.commands import TaskRequest


class StoppedError(Exception):
    """A task run has been told to stop."""


@dataclass
class TaskRun:
    """A method at work at one organization, or the thread that asks it to; `children` are its subtasks."""

    backend: ToyBackend
    organization: str
    method: str
    kwargs: dict[str, Any]
    task: str
    status: str = "pending"
    result: Any = None
    message: str = ""
    log: str = ""
    children: list[TaskRun] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def numbers(self) -> tuple[float, ...]:
        return self.backend.federation.numbers[self.organization]

    def work(self) -> None:
        """Call the method, to whichever end."""
        self.status = "active"
        try:
            self.result = METHODS[self.method](self, **self.kwargs)
            self.status = "completed"
        except StoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever a method raises is its failure
            self.status, self.message = "crashed", f"{type(error).__name__}: {error}"
            self.log += traceback.format_exc()
        self.ended.set()

    def create(self, ids: list[int], method: str, kwargs: dict[str, Any]) -> list[TaskRun]:
        """Begin a subtask at each of some organizations."""
        self.check()
        names = list(self.backend.federation.numbers)
        task = self.backend.number()
        made = [TaskRun(self.backend, names[each - 1], method, kwargs, task) for each in ids]
        self.children += made
        for each in made:
            if each.organization not in self.backend.federation.offline:
                threading.Thread(target=each.work, daemon=True).start()
        return made

    def ask(self, ids: list[int], method: str, kwargs: dict[str, Any]) -> list[Any]:
        """What a method returns at some organizations, None where it fails."""
        made = self.create(ids, method, kwargs)
        for each in made:
            while not each.ended.wait(0.01):
                self.check()
        return [each.result for each in made]

    def wait_for(self, path: str) -> None:
        """Wait until there is something at a path."""
        while not Path(path).exists():
            self.check()
            time.sleep(0.01)

    def check(self) -> None:
        if self.stop.is_set():
            raise StoppedError

    def end_children(self) -> list[str]:
        """Stop all subtasks, however deep; the organizations of those that were still open."""
        stopped = []
        for each in self.children:
            if not each.ended.is_set():
                each.stop.set()
                each.status = "killed by user"
                stopped.append(each.organization)
            stopped += each.end_children()
        return stopped

    def subtasks(self, parent: str = "", by: str = "") -> Iterator[Subtask]:
        for each in self.children:
            yield Subtask(
                each.organization, each.status, each.message, each.log, each.task, parent, by,
                run=f"{each.task}-{each.organization}", log=each.log, consequence=each.status == "killed by user",
            )  # fmt: skip
            yield from each.subtasks(each.task, each.organization)


class ToyBackend:
    """One thread for each task run."""

    def __init__(self, federation: ToyFederation, folder: Path) -> None:
        self.federation = federation
        self._folder = folder / "toy"
        self._emit: Callable[[Report], None] | None = None
        self._open: dict[tuple[str, str], tuple[TaskRun, TaskRequest]] = {}
        self._lock = threading.RLock()
        self._count = 0

    def number(self) -> str:
        with self._lock:
            self._count += 1
            return str(self._count)

    def directory(self) -> Directory:
        return self.federation.directory()

    def open(self, emit: Callable[[Report], None]) -> None:
        self._emit = emit
        self._folder.mkdir(parents=True, exist_ok=True)

    def submit(self, request: TaskRequest, *, again: bool) -> None:
        self._tell(Accepted(request.token, f"toy {request.token}"))
        for name, kwargs in request.kwargs.items():
            key = request.token, name
            if (kept := self._kept(*key)).exists():
                self._tell(_read(kept))
            elif request.image != IMAGE:
                self._tell(Failed(*key, "no_image", f"no image {request.image}"))
            elif key not in self._open:
                run = TaskRun(self, name, request.method, dict(kwargs), self.number())
                self._open[key] = run, request
                if name not in self.federation.offline:
                    threading.Thread(target=self._work, args=(run, request), daemon=True).start()

    def look(self, token: str) -> None:
        for (of, name), (run, _) in list(self._open.items()):
            if of == token and run.children:
                self._tell(Dispatched(token, name, tuple(run.subtasks())))
        self._tell(Looked(token))

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        with self._lock:
            for name in organizations:
                if found := self._open.pop((token, name), None):
                    self._end_children(*found)
                    found[0].stop.set()

    def forget(self, token: str, organization: str) -> None:
        self._kept(token, organization).unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            self._emit = None
            for run, _ in self._open.values():
                run.stop.set()
                run.end_children()
            self._open.clear()

    def _work(self, run: TaskRun, request: TaskRequest) -> None:
        run.work()
        key = request.token, run.organization
        with self._lock:
            if self._open.pop(key, None) is None:
                return
            self._end_children(run, request)
            subtasks = tuple(run.subtasks())
            if run.status == "crashed":
                end: Answered | Failed = Failed(*key, "crashed", run.message, run.log, None, subtasks)
            elif run.result is NOTHING:
                end = Failed(*key, "garbage", "it returned nothing", run.log, None, subtasks)
            else:
                end = Answered(*key, json.dumps(run.result).encode(), run.log, subtasks)
            _write(self._kept(*key), end)
            self._tell(end)

    def _end_children(self, run: TaskRun, request: TaskRequest) -> None:
        if ended := run.end_children():
            self._tell(Remarked(ended_note(request.step, f"attempt {request.attempt}", ended)))

    def _tell(self, report: Report) -> None:
        with self._lock:
            if self._emit is not None:
                self._emit(report)

    def _kept(self, token: str, organization: str) -> Path:
        return self._folder / sha256(f"{token} {organization}".encode()).hexdigest()


def _write(path: Path, end: Answered | Failed) -> None:
    values = to_builtins(end)
    if isinstance(end, Answered):
        values["body"] = end.body.decode()
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values), "utf-8")
    part.rename(path)


def _read(path: Path) -> Answered | Failed:
    values = json.loads(path.read_text("utf-8"))
    values["subtasks"] = tuple(Subtask(**each) for each in values["subtasks"])
    if "kind" in values:
        return Failed(**values)
    return Answered(**{**values, "body": values["body"].encode()})
