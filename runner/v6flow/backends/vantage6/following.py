"""From a task that exists to the reports of how each organization's run of it ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from v6flow.backends.base import Answered, Dispatched, Failed, Working
from v6flow.backends.vantage6 import classification
from v6flow.backends.vantage6.backoff import LOOKS, backoff
from v6flow.backends.vantage6.encryption import DecryptionError
from v6flow.backends.vantage6.executor import call, patiently, sleep
from v6flow.backends.vantage6.records import StrangeError, StrangeResultError, repeated
from v6flow.backends.vantage6.refusals import RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from threading import RLock

    from v6flow.backends.base import Report
    from v6flow.backends.vantage6.backoff import Backoff, Times
    from v6flow.backends.vantage6.calls import Api
    from v6flow.backends.vantage6.dispatches import Dispatches
    from v6flow.backends.vantage6.open_tasks import OpenTask
    from v6flow.backends.vantage6.records import Run, StoredResult, TaskWithRuns
    from v6flow.backends.vantage6.server_names import ServerDirectory
    from v6flow.backends.vantage6.submitting import Submitter
    from v6flow.core.execution.events import Subtask

ENDED = ("completed", "failed")
BLINK = 0.05  # seconds between looks at what another thread is about to know


class Following:
    """Reads what became of tasks, and reports it."""

    def __init__(
        self,
        api: Api,
        directory: ServerDirectory,
        submitter: Submitter,
        dispatches: Dispatches,
        times: Times,
        *,
        lock: RLock,
        tell: Callable[[OpenTask, str, Report], None],
        changed: Callable[[], None],
        relist: Callable[[], None],
        random: Callable[[], float],
    ) -> None:
        self._api = api
        self._directory = directory
        self._submitter = submitter
        self._dispatches = dispatches
        self._times = times
        self._lock = lock
        self._tell = tell
        self._changed, self._relist = changed, relist
        self._random = random

    async def introduce(self, asked: OpenTask) -> None:
        """Look up the runs of a task, and report those that have ended."""
        try:
            if asked.doubtful:
                await self._resolve_twins(asked)
            whole = await self._with_its_runs(asked)
        except RefusedError as error:
            self._gone(asked, error)
            asked.known = True
            return
        self._submitter.check(asked.request, whole)
        by_id = self._directory.by_id()
        with self._lock:
            asked.known, asked.job = True, whole.task.job
            asked.runs = {run.id: by_id[run.organization].short for run in whole.runs}
            asked.open = set(asked.runs)
            asked.claimed = {run.id for run in whole.runs if run.phase in ENDED}
        self._tell_lacking(asked)
        for run in sorted(whole.runs, key=lambda each: (each.is_consequence, each.id)):
            if run.phase in ENDED:
                await self._finish_or_gone(asked, run)
            else:
                self.note(asked, run)
        if asked.request.central and asked.open:
            await self.see(asked)

    async def confirm(
        self,
        asked: OpenTask,
        number: int,
        waits: Iterable[float],
        *,
        unlisted: bool,
        until_announced: bool = False,
    ) -> None:
        """Look at one run after each of these waits until it has ended, and report how.

        `unlisted`: the list of open runs does not show it, and if it is open it never will. `until_announced`: once
        the server has announced the end, others look at better times.
        """
        try:
            for wait in waits:
                if wait:
                    await sleep(wait)
                if number not in asked.open or number in asked.claimed:
                    return
                if until_announced and number in asked.announced:
                    return
                run, stored = await patiently(partial(self._look, asked, number), self._waits())
                if run.phase in ENDED:
                    if self._claim(asked, number):
                        await self._finish(asked, run, stored)
                    return
            self.note(asked, run)
            if unlisted and run.finished_at is None:
                asked.hidden.add(number)
        except RefusedError as error:
            self._gone(asked, error, {number})
        finally:
            with self._lock:
                asked.looked_at.discard(number)

    async def catch_up(self, asked: OpenTask) -> None:
        """Tell how each run has ended that has by now, however that was to be found out otherwise."""
        while asked.begun and not (asked.known or (asked.settled and asked.task is None)):
            await sleep(BLINK)
        for number in sorted(asked.open):
            while number in asked.open and number in asked.claimed:
                await sleep(BLINK)  # somebody is about to tell
            await self.confirm(asked, number, (0.0,), unlisted=False)
        if asked.open and asked.waiting:
            while asked.seeing:
                await sleep(BLINK)
            await self.see(asked)

    def _look(self, asked: OpenTask, number: int) -> tuple[Run, StoredResult | None]:
        """A run, with its result if both come in one request."""
        if len(asked.runs) == 1 and asked.task is not None and not asked.apart:
            try:
                whole = self._api.task_with_runs(asked.task, patience=0.0)
            except (TooLargeError, StrangeError):
                asked.apart = True  # the run and its result are read by themselves, and each is compared with its id
            else:
                for organization in repeated(whole.runs):
                    twice = f"task {asked.task} has several runs for {self._directory.name_of(organization)}"
                    raise StrangeError(f"{twice}, so it is not known which one is the answer")
                for run in whole.runs:
                    if run.id == number:
                        return run, whole.results.get(number)
        return self._api.run(number, patience=0.0), None

    def _claim(self, asked: OpenTask, number: int) -> bool:
        """Whether we report how a run ended: only one caller does."""
        with self._lock:
            ours = number in asked.open and number not in asked.claimed
            asked.claimed.add(number)
            return ours

    def note(self, asked: OpenTask, run: Run) -> None:
        """Report once that an organization has begun, even if it has ended since."""
        name = asked.runs[run.id]
        begun = run.phase == "working" or (run.phase in ENDED and run.began is not None)
        if begun and name not in asked.working:
            asked.working.add(name)
            self._changed()
            self._tell(asked, name, Working(asked.token, name, run.began))

    def _waits(self) -> Backoff:
        return backoff(self._times, self._random)

    async def _with_its_runs(self, asked: OpenTask) -> TaskWithRuns:
        assert asked.task is not None
        before = 0.0
        for moment in (0.0, *self._times.runs):
            if moment > before:
                await sleep(moment - before)
            before = moment
            read = partial(self._api.task_with_runs, asked.task, results=False, patience=0.0)
            whole = await patiently(read, self._waits())
            if len(whole.runs) >= len(asked.request.kwargs):
                break
        return whole

    def _tell_lacking(self, asked: OpenTask) -> None:
        """A task is committed before its runs: what has none never will, whatever the task's status says."""
        for name in sorted(set(asked.request.kwargs) - set(asked.runs.values())):
            self._fail(asked, name, "unknown", f"the server made no run for it in task {asked.task}")

    async def _resolve_twins(self, asked: OpenTask) -> bool:
        """Whether the task that counts is now another."""
        find = partial(self._api.find_tasks_by_token, asked.token, patience=0.0)
        found = await patiently(find, self._waits())
        if not found:
            return False
        kept = await call(partial(self._submitter.kept, asked.request, found))
        with self._lock:
            changed, asked.task = kept != asked.task, kept
        return changed

    async def _finish_or_gone(self, asked: OpenTask, run: Run) -> None:
        try:
            await self._finish(asked, run)
        except RefusedError as error:
            self._gone(asked, error, {run.id})

    async def _finish(self, asked: OpenTask, run: Run, stored: StoredResult | None = None) -> None:
        if asked.doubtful:
            changed = await self._resolve_twins(asked)
            asked.doubtful = False
            if changed:
                await self.introduce(asked)
                self._relist()
                return
        name = asked.runs[run.id]
        if run.phase == "failed" and run.finished_at is None and not run.log:
            await sleep(0.3)  # some nodes send the status first and the log a moment later
            run = await patiently(partial(self._api.run, run.id, patience=0.0), self._waits())
        report = await self._report(asked, name, run, stored)
        self.note(asked, run)
        with self._lock:
            asked.open.discard(run.id)
        self._tell(asked, name, report)
        if run.phase == "failed" and asked.open:
            self._relist()  # the server may have ended others with it, and tells nobody
        else:
            self._changed()

    async def _report(self, asked: OpenTask, name: str, run: Run, stored: StoredResult | None) -> Report:
        log, token = classification.shared_log(run), asked.token
        subtasks, hidden = await self._what_it_dispatched(asked, name, run)
        if run.phase == "failed":
            cause = classification.of(run, asked.request.image, asked.runs)
            return Failed(token, name, cause.kind, cause.message, log, cause.hint, subtasks, own=cause.own)
        try:
            if stored is not None and stored.text is not None and not stored.blob:
                body: bytes | None = await call(partial(self._api.decoded, stored))
            else:
                body = await self._result(run)
        except (DecryptionError, TooLargeError, StrangeResultError) as error:
            why = f"its result is refused: {error.message}"
            own = not isinstance(error, StrangeError)  # which may quote what the server has sent
            return Failed(token, name, "garbage", why, log, error.hint, subtasks, own=own)
        if not body:
            return Failed(token, name, "garbage", "it completed but returned nothing", log, None, subtasks, own=True)
        return Answered(token, name, body, log, subtasks, hidden)

    async def _result(self, run: Run) -> bytes | None:
        """A completed run's result; None if it has none though it was looked at again."""
        waits = self._waits()
        for look in range(LOOKS):
            if look:
                await sleep(waits.next())
            body = await patiently(partial(self._api.result, run.id, patience=0.0), waits)
            if body is not None:
                return body
        return None

    async def see(self, asked: OpenTask, wait: float = 0.0) -> None:
        """Report what a task that continues has dispatched by now; one at a time."""
        with self._lock:
            if asked.seeing or asked.task is None:
                return
            asked.seeing = True
        try:
            if wait:
                await sleep(wait)
            if asked.waiting:
                seen = await self._dispatches.see(asked)
                self._tell_dispatched(asked, seen.subtasks)
        finally:
            with self._lock:
                asked.seeing = False

    def _tell_dispatched(self, asked: OpenTask, subtasks: Mapping[str, tuple[Subtask, ...]]) -> None:
        with self._lock:
            asked.dispatched = {**asked.dispatched, **subtasks}
            for name, each in subtasks.items():
                self._tell(asked, name, Dispatched(asked.token, name, each))

    async def _what_it_dispatched(self, asked: OpenTask, name: str, run: Run) -> tuple[tuple[Subtask, ...], bool]:
        """What a run that has ended dispatched, with what is left open of that ended; and whether that is hidden.

        Of a task to several it is seen when the last of its runs has ended, for all of them.
        """
        with self._lock:
            asked.ending.add(run.id)
            last = asked.ending >= set(asked.runs)
        hidden = False
        if asked.request.central or last:
            seen = await self._dispatches.see(asked)
            seen = await self._dispatches.end_left(asked, seen)
            hidden = seen.hidden
            others = {each: subtasks for each, subtasks in seen.subtasks.items() if each != name}
            with self._lock:
                asked.dispatched = seen.subtasks
            self._tell_dispatched(asked, others)
        return asked.dispatched.get(name, ()), hidden

    def _gone(self, asked: OpenTask, error: RefusedError, runs: set[int] | None = None) -> None:
        """What was deleted will not answer; any other refusal stops everything."""
        if error.status != 404 or error.said is None:
            raise error
        for number in asked.runs if runs is None else runs:
            asked.open.discard(number)
        names = set(asked.request.kwargs) if runs is None else {asked.runs[number] for number in runs}
        for name in sorted(names):
            self._fail(asked, name, "killed", f"task {asked.task} was deleted at the server")

    def _fail(self, asked: OpenTask, name: str, kind: str, message: str) -> None:
        self._tell(asked, name, Failed(asked.token, name, kind, message, own=True))
