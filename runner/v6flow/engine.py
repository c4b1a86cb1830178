"""The engine: decide → journal → perform → journal → apply → tell; the only loop."""

from __future__ import annotations

import contextlib
import queue
import sys
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from v6flow.backends import base as backends
from v6flow.core import events as ev
from v6flow.core import json
from v6flow.core.commands import Ask, Command, Kill, KillLocal, Record, StartLocal
from v6flow.core.scheduler import Scheduler
from v6flow.core.state import apply
from v6flow.core.steps import TaskPlan
from v6flow.errors import InterruptedRunError, NoSpaceError, TerminatedRunError, V6flowError
from v6flow.local import base as local

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from v6flow.clock import Clock
    from v6flow.core.commands import TaskRequest
    from v6flow.core.events import Event, Subtask
    from v6flow.core.plan import Plan
    from v6flow.core.state import RunState
    from v6flow.journals.base import Journal
    from v6flow.reporters.base import Reporter

LOG_TAIL = 20  # lines of a log that stand in a failure


class Cancel:
    """A person asks for the run to be cancelled."""


Message: TypeAlias = Union[backends.Report, local.LocalReport, Cancel, V6flowError]


class Engine:
    """Carries a run on until it is over or must be let go of.

    Everything that happens comes in through one inbox; everything that follows is decided by the scheduler, written
    to the journal, and only then done.
    """

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        journal: Journal,
        *,
        backend: backends.Backend | None,
        local: local.Local,
        clock: Clock,
        reporter: Reporter,
        jobs: int,
    ) -> None:
        self._plan = plan
        self._state = state
        self._journal = journal
        self._backend = backend
        self._local = local
        self._clock = clock
        self._reporter = reporter
        self._scheduler = Scheduler(plan, state, jobs=jobs)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._requests: dict[str, TaskRequest] = {}

    def interrupt(self, *, terminate: bool = False) -> None:
        """Let go of the run, resumable. Safe to call from a signal handler."""
        kind = TerminatedRunError if terminate else InterruptedRunError
        self._inbox.put(kind("terminated" if terminate else "interrupted"))

    def cancel(self) -> None:
        """Cancel the run. Safe to call from a signal handler."""
        self._inbox.put(Cancel())

    def run(self) -> None:
        """Go on until the state is no longer `running`. Raises only when the journal cannot be written, and for bugs."""
        try:
            self._tell("begin", self._plan, self._state)
            self._local.open(self._inbox.put)
            if self._backend is not None:
                self._backend.open(self._inbox.put)
            while self._state.status == "running":
                commands = self._scheduler.decide(self._clock.now())
                if commands:
                    self._carry_out(commands)
                self._receive(block=not commands)
        finally:
            self._local.close()
            if self._backend is not None:
                self._backend.close()
            self._tell("end", self._state)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        events = [command.event for command in commands if isinstance(command, (Record, Ask, StartLocal)) and command.event]
        effects = [command for command in commands if not isinstance(command, Record)]
        self._write(events, durable=bool(effects) or any(isinstance(event, _FINAL) for event in events))
        try:
            for command in effects:
                self._perform(command)
        except NoSpaceError:
            raise
        except V6flowError as error:
            self._inbox.put(error)

    def _perform(self, command: Command) -> None:
        match command:
            case Ask():
                self._requests[command.request.token] = command.request
                assert self._backend is not None  # a plan with task steps is never made without one
                self._backend.submit(command.request, again=command.event is None)
            case StartLocal():
                self._local.start(command.request)
            case Kill():
                if self._backend is not None:
                    self._backend.kill(command.token, command.organizations)
            case KillLocal():
                self._local.kill(command.step)
            case Record():
                pass
            case _:
                assert_never(command)

    def _receive(self, *, block: bool) -> None:
        """Take in what has happened; with `block`, wait until something has or there may be something to do."""
        messages: list[Message] = []
        with contextlib.suppress(queue.Empty):
            if block:
                wake = self._scheduler.wake()
                # an hour at most: a clock that counts suspend may run ahead of the one that waits
                messages.append(self._inbox.get(timeout=None if wake is None else min(max(wake - self._clock.now(), 0), 3600)))
            while True:
                messages.append(self._inbox.get_nowait())
        for message in messages:
            if self._state.status != "running":
                return
            events = list(self._interpret(message))
            self._write(events, durable=not isinstance(message, backends.Accepted))

    def _interpret(self, message: Message) -> Iterable[Event]:
        now = self._clock.now()
        match message:
            case backends.Accepted():
                request = self._requests[message.token]
                yield ev.TaskAccepted(now, request.step, message.token, message.remote)
            case backends.Working():
                self._tell("working", self._requests[message.token].step, message.organization)
            case backends.Answered() | backends.Failed():
                request = self._requests[message.token]
                if self._scheduler.waits_for(request.step, message.organization, message.token):
                    yield self._answer(request, message, now)
            case local.LocalAnswered() | local.LocalFailed():
                if self._state.step(message.step).requested and self._state.step(message.step).attempt == message.attempt:
                    yield self._local_answer(message, now)
            case Cancel():
                if not self._state.cancelling:
                    yield ev.CancelRequested(now)
            case backends.Broken():
                yield _interrupted(message.error, now)
            case V6flowError():
                yield _interrupted(message, now)
            case _:
                assert_never(message)

    def _answer(self, request: TaskRequest, message: backends.Answered | backends.Failed, now: float) -> Event:
        step = self._plan.steps[request.step]
        assert isinstance(step, TaskPlan)
        name, organization = request.step, message.organization
        log = self._keep(message.log)
        if isinstance(message, backends.Failed):
            failure = ev.Failure(message.kind, message.message, name, organization, message.hint, _tail(message.log))
            return ev.TaskFailed(now, name, organization, request.attempt, failure, log, message.subtasks)
        lost = _lost(message.subtasks) if step.subtasks == "fail" else None
        if lost is not None:
            told = f"the central function answered, but its subtask at {lost.organization} {lost.status}"
            told += f": {lost.message}" if lost.message else ""
            hint = "subtasks: partial accepts what a central function makes of those that answered"
            failure = ev.Failure("subtask_failed", told, name, lost.organization, hint, lost.log_tail)
            return ev.TaskFailed(now, name, organization, request.attempt, failure, log, message.subtasks)
        try:
            value = json.loads(message.body, allow_nonfinite=step.allow_nonfinite)
            if value is None:
                raise json.JsonError("null, which is no result")
        except json.JsonError as error:
            hint = "allow_nonfinite: true lets NaN and infinities through" if "finite" in str(error) else None
            failure = ev.Failure("garbage", f"its result is {error}", name, organization, hint, _tail(message.log))
            return ev.TaskFailed(now, name, organization, request.attempt, failure, log, message.subtasks)
        return ev.TaskAnswered(now, name, organization, request.attempt, value, log, message.subtasks)

    def _local_answer(self, message: local.LocalAnswered | local.LocalFailed, now: float) -> Event:
        log = self._keep(message.log)
        if isinstance(message, local.LocalAnswered):
            try:
                return self._scheduler.local_completed(message.step, json.loads(message.body), log, now)
            except json.JsonError as error:
                message = local.LocalFailed(message.step, message.attempt, "garbage", f"its result is {error}", message.log)
        failure = ev.Failure(message.kind, message.message, message.step, None, message.hint, _tail(message.log))
        return ev.LocalFailed(now, message.step, message.attempt, failure, log)

    def _keep(self, log: str) -> str | None:
        return self._journal.keep(log.encode("utf-8", "replace")) if log else None

    def _write(self, events: Sequence[Event], *, durable: bool) -> None:
        if not events:
            return
        self._journal.append(events, durable=durable)
        for event in events:
            apply(self._state, event)
            self._scheduler.observe(event)
            self._tell("event", event, self._state)

    def _tell(self, what: str, *told: Any) -> None:
        """Tell the reporter; a terminal that went away does not stop a run."""
        with contextlib.suppress(OSError, ValueError):
            getattr(self._reporter, what)(*told)


_FINAL = (ev.RunCompleted, ev.RunFailed, ev.RunCancelled)


def _interrupted(error: Exception, now: float) -> Event:
    if not isinstance(error, V6flowError):
        return ev.RunInterrupted(now, ev.Failure("bug", f"{type(error).__name__}: {error}"), 70)
    return ev.RunInterrupted(now, ev.Failure(error.kind, error.message, hint=error.hint), error.exit_code)


def _lost(subtasks: Sequence[Subtask]) -> Subtask | None:
    """The first subtask that did not complete."""
    return next((each for each in subtasks if each.status != "completed"), None)


def _tail(log: str) -> str:
    return "\n".join(log.rstrip().splitlines()[-LOG_TAIL:])
