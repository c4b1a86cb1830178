"""The nodes of an embedded federation: they start task runs, and see how they end."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.backends.embedded import environment, logs, responses
from v6flow.backends.embedded.jobs import method_of, prepare
from v6flow.backends.embedded.launcher import launcher
from v6flow.backends.embedded.obstacles import obstacle
from v6flow.backends.embedded.server import Server, new_secret, now
from v6flow.backends.embedded.slots import Slots
from v6flow.backends.embedded.task_records import (
    ACTIVE,
    COMPLETED,
    KILLED,
    PENDING,
    STATUS_OF_KIND,
    Answer,
    Mishap,
    Outcome,
    TaskRun,
)
from v6flow.core.execution import disclosure
from v6flow.core.execution.events import Subtask
from v6flow.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from v6flow.backends.embedded.configuration import Algorithm, EmbeddedFederation
    from v6flow.backends.embedded.launcher import Launcher

NOT_JSON = b"not JSON: the federation file injects the fault `garbage` here"


class Nodes:
    """Runs what is asked, a limited number at once; `tell` hears how each task run of v6flow's own ended.

    `dispatched` hears whenever one of these has dispatched something, or some of that has ended; `left` which subtasks
    had to be ended since the central function that asked them has, by their organizations.
    """

    def __init__(
        self,
        federation: EmbeddedFederation,
        folder: Path,
        server: Server,
        *,
        jobs: int,
        warm: bool | None,
        working: Callable[[TaskRun], None],
        tell: Callable[[TaskRun, Outcome], None],
        dispatched: Callable[[TaskRun], None],
        left: Callable[[TaskRun, list[str]], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self.federation = federation
        self.folder = folder
        self.port = 0  # of the proxy, known when it listens
        self._server = server
        self._lock = server.changed
        self._slots = Slots(jobs)
        self._warm = warm
        self._working, self._tell, self._dispatched = working, tell, dispatched
        self._left = left
        self._broken = broken
        self._launchers: dict[str, Launcher] = {}
        self._at_work: dict[int, TaskRun] = {}
        self._timers: dict[int, threading.Timer] = {}

    def ask(self, runs: Iterable[TaskRun]) -> None:
        """Have task runs performed, unless their answers are there or something is in the way."""
        for run in runs:
            self._ask(run)
        self._start_next()

    def dispatch(self, parent: TaskRun, runs: list[TaskRun]) -> None:
        """A task run has created a task: it gives back its place until these have ended."""
        place = self.place(parent)
        responses.note_subtasks(
            place, (Subtask(run.organization.name, PENDING, task=run.task.key, run=run.token) for run in runs)
        )
        self._dispatched(parent.root)
        with self._lock:
            self._slots.give_back(parent)
        self.ask(runs)
        if parent.claimed:  # it ended meanwhile
            for run in runs:
                self.kill(run)

    def kill(self, run: TaskRun) -> list[str]:
        """End a task run and what it dispatched, of which the organizations are returned; nothing is reported."""
        ended = [each.organization.name for each in run.descendants() if not each.claimed]
        self._kill(run)
        self._start_next()
        return ended

    def _ask(self, run: TaskRun) -> None:
        place = self.place(run)
        kept = responses.kept(place, responses.question(run))
        if kept is not None:
            self._end(run, Answer(kept, logs.read(place / responses.LOG)))
            return
        faults = run.organization.faults
        if run.organization.offline or faults.no_answer:
            with self._lock:
                run.silent = True
                self._lock.notify_all()
            return
        if run.task.attempt <= faults.start_failed:
            self._end(
                run,
                Mishap("start_failed", "it did not start: the federation file injects `start_failed` here", own=True),
            )
        elif faults.slow > 0:
            timer = threading.Timer(faults.slow, self._begin_later, args=(run,))
            timer.daemon = True
            with self._lock:
                if run.claimed:
                    return
                self._timers[run.id] = timer
            timer.start()
        else:
            self._begin(run)

    def _kill(self, run: TaskRun) -> None:
        with self._lock:
            if run.claimed:
                return
            run.claimed = run.killed = run.ended = True
            run.status, run.finished_at = KILLED, now()
            self._let_go(run)
            self._lock.notify_all()
        self._stop(run)
        for descendant in run.descendants():
            self._kill(descendant)
        self._server.forget(run)

    def place(self, run: TaskRun) -> Path:
        """Where its answer is kept."""
        return responses.place(self.folder, run.token, run.organization.name)

    def log(self, run: TaskRun) -> str:
        """What it has written so far."""
        return _log(Path(run.work)) if run.work is not None and not run.ended else run.log

    def close(self) -> None:
        """End all that is at work here."""
        with self._lock:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
            runs = list(self._at_work.values())
            launchers = list(self._launchers.values())
        for run in runs:
            self._kill(run)
        for each in launchers:
            each.close()

    # What launchers tell (see launcher.Listener); keys are the ids of task runs.

    def started(self, key: int) -> None:
        with self._lock:
            run = self._at_work.get(key)
            if run is None or run.claimed:
                return
            run.status, run.started_at = ACTIVE, now()
        self._working(run)

    def ended(self, key: int, exit_code: int) -> None:
        self._conclude(key, lambda run, work: self._outcome(run, work, exit_code))

    def lost(self, key: int, reason: str, *, began: bool) -> None:
        kind, said = ("unknown", "it is not known what became of it") if began else ("start_failed", "it did not start")
        self._conclude(key, lambda _, work: Mishap(kind, f"{said}: {reason}", log=_log(work), own=True))

    def refused(self, key: int, reason: str) -> None:
        self._conclude(key, lambda _, work: replace(logs.no_tools(reason, _log(work)), own=True))

    def look(self, keys: list[int]) -> None:
        for key in keys:
            run = self._at_work.get(key)
            if run is not None and run.work is not None:
                logs.trim(Path(run.work) / "log")

    def _conclude(self, key: int, outcome: Callable[[TaskRun, Path], Outcome]) -> None:
        """A task run is at work no more: it ended with its answer if there is one, else with this outcome."""
        run = self._at_work.pop(key, None)
        if run is None or run.work is None:
            return
        if run.claimed:  # it was killed
            shutil.rmtree(run.work, ignore_errors=True)
            return
        try:
            kept = responses.kept(self.place(run), responses.question(run))
            if kept is not None:
                self._end(run, Answer(kept, logs.read(self.place(run) / responses.LOG)))
            else:
                self._end(run, outcome(run, Path(run.work)))
            self._start_next()
        except Exception as error:  # noqa: BLE001  the run must hear of it, for this thread is nobody's
            self._broken(error)

    def _begin_later(self, run: TaskRun) -> None:
        with self._lock:
            self._timers.pop(run.id, None)
        self._begin(run)
        self._start_next()

    def _begin(self, run: TaskRun) -> None:
        faults = run.organization.faults
        in_the_way = obstacle(run, self.federation)
        if faults.crash:
            said = "the federation file injects the fault `crash` here"
            self._end(run, Mishap("crashed", said, log=f"v6flow > {said}\n", own=True))
        elif faults.garbage:
            self._end(run, Answer(NOT_JSON))
        elif in_the_way is not None:
            self._end(run, replace(in_the_way, own=True))
        else:
            with self._lock:
                self._slots.queue(run)

    def _start_next(self) -> None:
        while True:
            with self._lock:
                run = None if self._server.closed else self._slots.next()
                if run is None:
                    return
                self._at_work[run.id] = run
            algorithm = self.federation.algorithms[run.task.image]
            try:
                request = self._prepare(run, algorithm)
                each = self._launcher(algorithm.python or sys.executable)
                each.start(run.id, request)
            except OSError as error:
                self._at_work.pop(run.id, None)
                self._cannot_start(run, error)
            else:
                if run.claimed:  # killed meanwhile
                    each.kill(run.id)

    def _cannot_start(self, run: TaskRun, error: OSError) -> None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            said = f"no space to run an algorithm in {self.folder}: {error.strerror}"
            self._broken(NoSpaceError(said, hint="make space and resume the run"))
            self._kill(run)
        else:
            self._end(run, Mishap("start_failed", f"the task run cannot be started: {error}", own=True))

    def _launcher(self, python: str) -> Launcher:
        with self._lock:
            if python not in self._launchers:
                log = self.folder / f"interpreter-{hashlib.sha256(python.encode()).hexdigest()[:12]}.log"
                self._launchers[python] = launcher(python, log, self, warm=self._warm)
            return self._launchers[python]

    def _prepare(self, run: TaskRun, algorithm: Algorithm) -> Path:
        """Write down all that a task run is given; the file that describes it."""
        place = self.place(run)
        responses.begin(place, responses.question(run))
        sub = environment.identity(
            run.organization, task=run.task.id, image=run.task.image, databases=run.task.databases
        )
        bearer = environment.token(sub, issued_at=int(time.time()), secret=new_secret())
        self._server.admit(run, bearer)
        work = place / new_secret().hex()[:8]  # an earlier one under this token may still be dying
        with self._lock:
            run.work = str(work)
        return prepare(run, work, algorithm, port=self.port, bearer=bearer)

    def _outcome(self, run: TaskRun, work: Path, exit_code: int) -> Outcome:
        """What became of a task run that has ended and kept no answer itself."""
        if exit_code == 0:
            place = self.place(run)
            responses.keep(place, work / "output", None if run.task.withheld else work / "log")
            kept = responses.kept(place, responses.question(run))
            if kept is not None:
                return Answer(kept, logs.read(place / responses.LOG))
        log = _log(work)
        if exit_code == 0:
            hint = "the function must return its result; `sys.exit` keeps the wrapper from writing it"
            return Mishap("garbage", "it ended without writing a result", hint, log, own=True)
        package = self.federation.algorithms[run.task.image].package
        return logs.explain(exit_code, log, package=package, method=method_of(run))

    def _end(self, run: TaskRun, outcome: Outcome) -> None:
        """A task run has ended: note it where it is not forgotten, then let all know."""
        with self._lock:
            if run.claimed:
                return
            run.claimed = True
        self._end_what_is_left(run)
        if run.task.parent is not None:
            if isinstance(outcome, Mishap) and not run.task.withheld:
                with suppress(OSError):
                    responses.keep_log(self.place(run), outcome.log)
            self._note(run, _subtask(run, outcome))
            self._dispatched(run.root)
        with self._lock:
            run.ended, run.finished_at, run.log = True, now(), outcome.log
            if isinstance(outcome, Answer):
                run.status, run.body = COMPLETED, outcome.body
            else:
                run.status = STATUS_OF_KIND[outcome.kind]
            self._let_go(run)
            self._lock.notify_all()
        if run.work is not None:
            shutil.rmtree(run.work, ignore_errors=True)
        if run.task.parent is None:
            self._tell(run, outcome)
        self._server.forget(run)

    def _end_what_is_left(self, run: TaskRun) -> None:
        """End what a task run that has ended has dispatched and not waited for."""
        left = [each for each in run.descendants() if not each.claimed]
        for each in left:
            self._kill(each)
            if not each.silent:  # what nobody has begun did not answer
                said = "the central function ended without waiting for it"
                self._note(each, _noted(each, KILLED, said, consequence=True))
        if left:
            self._left(run.root, [each.organization.name for each in left])

    def _let_go(self, run: TaskRun) -> None:
        """Its place is free, and a parent that waited only for it works again; the lock is held."""
        self._slots.give_back(run)
        parent = run.task.parent
        if parent is not None:
            parent.waiting_for -= 1
            if parent.waiting_for == 0 and not parent.ended:
                self._slots.take(parent)

    def _note(self, run: TaskRun, subtask: Subtask) -> None:
        if run.task.withheld:
            (subtask,) = disclosure.withheld([subtask])
        if run.task.parent is not None:
            with suppress(OSError):  # a full disk must not keep the others from ending
                responses.note_subtasks(self.place(run.task.parent), [subtask])

    def _stop(self, run: TaskRun) -> None:
        with self._lock:
            timer = self._timers.pop(run.id, None)
            launchers = list(self._launchers.values()) if run.id in self._at_work else []
        if timer is not None:
            timer.cancel()
        for each in launchers:
            each.kill(run.id)


def _log(work: Path) -> str:
    """What the task run in this folder has written."""
    return logs.read(work / "log")


def _subtask(run: TaskRun, outcome: Outcome) -> Subtask:
    """How a task run fared, for the report of the central function that asked for it."""
    tail = logs.tail(outcome.log)
    if isinstance(outcome, Mishap):
        return _noted(run, STATUS_OF_KIND[outcome.kind], outcome.message, tail, hint=outcome.hint)
    try:
        json.loads(outcome.body)
    except (ValueError, RecursionError) as error:
        return _noted(run, "failed", f"its result is not JSON: {error}", tail)
    return _noted(run, COMPLETED)


def _noted(
    run: TaskRun,
    status: str,
    message: str = "",
    tail: str = "",
    *,
    consequence: bool = False,
    hint: str | None = None,
) -> Subtask:
    return Subtask(
        run.organization.name,
        status,
        message,
        tail,
        task=run.task.key,
        run=run.token,
        ended=time.time(),
        consequence=consequence,
        hint=hint,
    )
