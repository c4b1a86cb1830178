"""The backend for a collaboration at a vantage6 server."""

from __future__ import annotations

import logging
import random as _random
import time
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from v6flow.backends.base import Accepted, Answered, Broken, Dispatched, Failed, Looked, Remarked
from v6flow.backends.vantage6 import sockets
from v6flow.backends.vantage6.backoff import Times, backoff
from v6flow.backends.vantage6.dispatches import Dispatches
from v6flow.backends.vantage6.executor import Executor, bounded, call, sleep
from v6flow.backends.vantage6.following import BLINK, Following
from v6flow.backends.vantage6.notifications import Notifications
from v6flow.backends.vantage6.open_tasks import OpenTask
from v6flow.backends.vantage6.outage import Outage
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import RefusedError
from v6flow.backends.vantage6.sockets import Socket
from v6flow.backends.vantage6.submitting import Submitter, TurnedDownError
from v6flow.backends.vantage6.watcher import Watcher
from v6flow.errors import FederationError, PersonNeededError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from v6flow.backends.base import Report
    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.backends.vantage6.records import Run
    from v6flow.core.directory import Directory
    from v6flow.core.execution.commands import TaskRequest

LOG = logging.getLogger(__name__)
THREADS = 4  # as many as there are connections
ANSWERS, KILLS, QUESTIONS = 0, 1, 2  # what is more urgent


class ServerBackend:
    """Asks organizations through a vantage6 server (see `backends.base.Backend`).

    `connected` stays the caller's, who closes it after this. `jobs` tasks at most are at the server at once (built
    in: any number). `events` False leaves the server's events unheard: all is found by polling. `times` are the
    seconds to wait, `clock` counts them and does not jump.
    """

    def __init__(
        self,
        connected: Connected,
        *,
        jobs: int | None = None,
        events: bool = True,
        times: Times | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._session = connected.session
        self._directory = connected.directory
        self._api = connected.api
        self._jobs = jobs
        self._events = events
        self._times = times or Times()
        self._clock, self._random = clock, random
        self._lock = RLock()  # held while emitting, so that nothing is emitted once kill has returned
        self._emit: Callable[[Report], None] | None = None
        self._asked: dict[str, OpenTask] = {}
        self._submitter = Submitter(self._api, self._directory, self._times, random, note=self._say)
        self._dispatches = Dispatches(
            self._api, self._directory, lambda: backoff(self._times, self._random), note=self._say
        )
        self._following = Following(
            self._api,
            self._directory,
            self._submitter,
            self._dispatches,
            self._times,
            lock=self._lock,
            tell=self._tell,
            changed=lambda: self._watch("quicken"),
            relist=lambda: self._watch("wake"),
            random=random,
        )
        self._executor: Executor | None = None
        self._watcher: Watcher | None = None
        self._socket: Socket | None = None
        self._left: list[Remarked] = []  # what became known while closing

    def directory(self) -> Directory:
        """The collaboration's organizations, in the federation file's order."""
        return self._directory.directory()

    def open(self, emit: Callable[[Report], None]) -> None:
        """From now on reports go to `emit`."""
        self._emit = emit
        self._session.attended = False
        self._session.heard = Outage(self._say, self._clock)
        self._executor = Executor(THREADS, self._broken)
        self._watcher = Watcher(
            self._api,
            self._times,
            watched=self._watched,
            note=self._note,
            confirm=partial(self._confirm, waits=(0.0,), unlisted=True),
            failed=self._broken,
            say=self._say,
            clock=self._clock,
            random=self._random,
        )
        if self._events and sockets.is_possible():
            self._socket = Socket(
                self._session,
                self._directory.collaboration.id,
                Notifications(self._hear, self._times, dispatched=self._hear_of_subtask),
                live=self._live,
                random=self._random,
            )

    def submit(self, request: TaskRequest, *, again: bool) -> None:
        """Ask the organizations of a request, unless they are being asked already."""
        strangers = set(request.kwargs) - set(self._directory.by_short())
        if strangers:
            raise FederationError(f"the federation has no {', '.join(sorted(strangers))}")
        with self._lock:
            if self._emit is None:
                return
            before = self._asked.get(request.token)
            if before is not None and before.waiting:
                if before.accepted:
                    self._emit(Accepted(request.token, f"task {before.task}"))
                return
            # what may be there already is looked for, or killed, even before anybody has come to look it up
            asked = self._asked[request.token] = OpenTask(request, set(request.kwargs), begun=again)
        self._send(self._ask(asked, again=again), QUESTIONS)

    def look(self, token: str) -> None:
        """Look at what is there, and report it; if the server stays away, what waits for it cannot be judged."""
        with self._lock:
            asked = self._asked.get(token)
            if asked is None and self._emit is not None:
                self._emit(Looked(token))
        if asked is not None:
            self._send(self._look(asked), ANSWERS)

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        """Kill the task once nobody waits for any of its organizations: a server kills all of a task or nothing."""
        with self._lock:
            asked = self._asked.get(token)
            if asked is not None:
                asked.waiting -= set(organizations)
                still = [number for number in asked.open if asked.runs.get(number) in asked.waiting]
                if still or asked.waiting or (asked.task is not None and asked.runs and not asked.open):
                    return
        self._send(self._put_an_end(token, asked), KILLS, is_last_will=True)

    def forget(self, token: str, organization: str) -> None:
        """Nothing: answers are in memory, and large ones in files that have no name."""

    def close(self) -> None:
        """End all threads, but first send what is to be killed there; tasks continue. May be called again."""
        with self._lock:
            emit, self._emit = self._emit, None
            executor, self._executor = self._executor, None
            watcher, self._watcher = self._watcher, None
            socket, self._socket = self._socket, None
        self._session.heard = None
        if executor is not None and not executor.close(self._times.farewell):
            self._say(
                "not all tasks that had to be killed could be reported to the server in time; they may continue there"
            )
        if emit is not None:
            for note in self._left:
                emit(note)
        if watcher is not None:
            watcher.close(BLINK)
        if socket is not None:
            socket.close(1.0)

    # -- asking

    async def _ask(self, asked: OpenTask, *, again: bool) -> None:
        while not again and self._is_full():
            await sleep(BLINK)
        with self._lock:
            if not asked.waiting:
                asked.settled = True
                return
            asked.begun = True
        try:
            found = await self._submitter.submit(
                asked.request, again=again, wanted=lambda: bool(asked.waiting) and self._emit is not None
            )
        except TurnedDownError as error:
            for name in asked.request.kwargs:
                turned_down = Failed(asked.token, name, "not_allowed", error.message, hint=error.hint, own=True)
                self._tell(asked, name, turned_down)
            return
        finally:
            asked.settled = True
        if found is None:
            return
        with self._lock:
            asked.task, asked.doubtful = found.task, found.doubtful
        if not found.adopted:
            self._accept(asked)
        await self._following.introduce(asked)
        if found.adopted:
            self._accept(asked)
        self._watch("soon")

    def _accept(self, asked: OpenTask) -> None:
        with self._lock:
            asked.accepted = True
            if self._emit is not None:
                self._emit(Accepted(asked.token, f"task {asked.task}"))

    def _is_full(self) -> bool:
        if self._jobs is None:
            return False
        with self._lock:
            return sum(1 for each in self._asked.values() if each.begun and each.waiting) >= self._jobs

    # -- waiting

    def _watched(self) -> dict[int, OpenTask]:
        with self._lock:
            return {
                number: asked
                for asked in self._asked.values()
                for number in asked.open - asked.claimed
                if asked.runs[number] in asked.waiting
            }

    def _note(self, asked: OpenTask, run: Run) -> None:
        self._following.note(asked, run)
        if asked.request.central and run.phase == "working":
            self._see(asked)

    def _see(self, asked: OpenTask, wait: float = 0.0) -> None:
        if not asked.seeing:
            self._send(self._following.see(asked, wait), ANSWERS)

    def _hear_of_subtask(self, parent: int) -> None:
        """Look at a task that has dispatched another, or whose subtask continues, according to an event."""
        with self._lock:
            asked = next((each for each in self._asked.values() if each.waiting and each.is_above(parent)), None)
        if asked is not None:
            self._see(asked, self._times.subtasks)

    def _confirm(self, asked: OpenTask, number: int, waits: tuple[float, ...], *, unlisted: bool) -> None:
        with self._lock:
            if number not in asked.open or number in asked.looked_at:
                return
            asked.looked_at.add(number)
        self._send(self._following.confirm(asked, number, waits, unlisted=unlisted), ANSWERS)

    def _hear(self, number: int, waits: tuple[float, ...]) -> None:
        """Look at a run that an event names."""
        with self._lock:
            asked = next((each for each in self._asked.values() if number in each.open), None)
        if asked is None or asked.runs[number] not in asked.waiting:
            return
        if len(waits) == 1:  # a first look among many: one at a time is enough
            self._confirm(asked, number, waits, unlisted=False)
            return
        announced = waits == self._times.finishing
        if announced:
            with self._lock:
                asked.announced.add(number)
        looks = self._following.confirm(asked, number, waits, unlisted=False, until_announced=not announced)
        self._send(looks, ANSWERS)

    def _live(self, now: bool) -> None:
        watcher = self._watcher
        if watcher is not None:
            watcher.live(now=now)

    def _watch(self, how: Literal["wake", "soon", "quicken"]) -> None:
        watcher = self._watcher
        if watcher is not None:
            {"wake": watcher.wake, "soon": watcher.soon, "quicken": watcher.quicken}[how]()

    async def _look(self, asked: OpenTask) -> None:
        message = "the server is unreachable, and a deadline has passed: "
        message += f"who has answered step {asked.request.step} in time is unknown"
        await bounded(self._following.catch_up(asked), self._times.last_look, message)
        with self._lock:
            if self._emit is not None:
                self._emit(Looked(asked.token))

    # -- killing

    async def _put_an_end(self, token: str, asked: OpenTask | None) -> None:
        if asked is not None and not asked.begun:
            return
        what = f"the task with the token {token}"
        try:
            while asked is not None and asked.task is None and not asked.settled:
                await sleep(BLINK)
            if asked is not None and asked.task is not None:
                tasks: tuple[tuple[int, int | None], ...] = ((asked.task, asked.job),)
            else:
                found = await call(partial(self._api.find_tasks_by_token, token))
                for each in found:
                    if wrong := self._submitter.foreign(each):
                        raise StrangeError(f"task {each.id} carries its token but is another: {'; '.join(wrong)}")
                tasks = tuple((each.id, each.job) for each in found)
            for task, job in tasks:
                what = f"task {task}"
                await call(partial(self._dispatches.kill, task, job, asked))
        except V6flowError as error:
            self._note_down(
                Remarked(f"{what} could not be killed and may continue at the server: {error.message}", error)
            )

    # -- telling

    def _tell(self, asked: OpenTask, name: str, report: Report) -> None:
        with self._lock:
            if self._emit is None or (
                name not in asked.waiting and not (isinstance(report, Dispatched) and asked.waiting)
            ):
                return
            if isinstance(report, (Answered, Failed)):
                asked.waiting.discard(name)
            self._emit(report)

    def _say(self, message: str) -> None:
        self._note_down(Remarked(message))

    def _note_down(self, note: Remarked) -> None:
        with self._lock:
            if self._emit is not None:
                self._emit(note)
            else:
                self._left.append(note)

    def _broken(self, error: Exception) -> None:
        if isinstance(error, RefusedError):
            error = PersonNeededError(error.message, hint=error.hint)
        with self._lock:
            if self._emit is not None:
                self._emit(Broken(error))

    def _send(self, work: Coroutine[Any, Any, None], urgency: int, *, is_last_will: bool = False) -> None:
        executor = self._executor
        if executor is not None:
            executor.send(work, urgency=urgency, is_last_will=is_last_will)
        else:
            work.close()
