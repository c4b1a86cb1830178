"""The engine: decide → journal → perform → journal → apply → tell; the only loop."""

from __future__ import annotations

import contextlib
import queue
import sys
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from v6flow.backends import base as backends
from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask, Command, Keep, Kill, KillLocal, Look, Recall, Record, StartLocal
from v6flow.core.execution.scheduler import Scheduler
from v6flow.core.execution.state import SETTLED, apply
from v6flow.errors import InterruptedRunError, NoSpaceError, TerminatedRunError, V6flowError
from v6flow.local import base as local
from v6flow.reports import Reports
from v6flow.stores.base import CancelRequest, DecisionRequest, Request

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from v6flow.clock import Clock
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.reuse import Basis, Kept, Key
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan
    from v6flow.reporters.base import Reporter
    from v6flow.stores.base import Journal

LOOK = 1.0  # seconds; a signal that comes just before the wait begins is heard only after it


class Release(Struct, frozen=True):
    """A signal ends the work on the run, which can be resumed; with `kill`, what it has open is killed."""

    kind: str
    exit_code: int
    kill: bool


class Recalled(Struct, frozen=True):
    """What an earlier run has of a step, or why there is nothing to reuse."""

    step: str
    found: Kept | str


class Results(Protocol):
    """The results of earlier runs, for steps that may reuse them."""

    basis: Basis

    def find(self, step: str, key: Key, longest: float, now: float) -> Kept | str:
        """What an earlier run has under a key, answered at most so many seconds ago; else why there is none."""

    def keep(self, step: str, key: Key, ended: float) -> str | None:
        """Have later runs find what the step completed with at a time; returns why that cannot be, if so."""


Message: TypeAlias = backends.Report | local.LocalReport | Request | Release | Recalled | V6flowError

Wait: TypeAlias = "Callable[[queue.SimpleQueue[Message], float | None], Message]"
"""Gives the next message of an inbox; raises queue.Empty after so many seconds (None: no end is known), or before."""


def wait(inbox: queue.SimpleQueue[Message], seconds: float | None) -> Message:
    """Wait in earnest, and no longer than LOOK (see `Wait`)."""
    return inbox.get(timeout=LOOK if seconds is None else min(seconds, LOOK))


class Engine:
    """Carries a run on until it is over or must be let go of.

    Everything that happens comes in through one inbox; everything that follows is decided by the scheduler,
    written to the journal, and only then done.
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
        results: Results | None = None,
        wait: Wait = wait,
    ) -> None:
        """Without `results` no step reuses any."""
        self._plan = plan
        self._state = state
        self._journal = journal
        self._backend = backend
        self._local = local
        self._clock = clock
        self._reporter = reporter
        self._wait = wait
        self._results = results
        self._scheduler = Scheduler(plan, state, jobs=jobs, basis=results.basis if results is not None else None)
        self._reports = Reports(plan, state, self._scheduler, journal.keep)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._requests: dict[str, TaskRequest] = {}

    def interrupt(self, *, terminate: bool = False, kill: bool = False) -> None:
        """Let go of the run, resumable; with `kill`, what it has open is killed. Safe to call from a signal handler."""
        error = TerminatedRunError if terminate else InterruptedRunError
        self._inbox.put(Release(error.kind, error.exit_code, kill))

    def note(self, message: str) -> None:
        """Have a person told, and the journal keep, what they should know."""
        self._inbox.put(backends.Remarked(message))

    def hear(self, request: Request) -> None:
        """Cancel the run, or have a gate hear what a person decided. Safe to call from a signal handler."""
        self._inbox.put(request)

    def run(self) -> None:
        """Go on until the state is no longer `running`.

        Raises NoSpaceError or JournalError when the journal cannot be written, and anything for bugs.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._tell, partial(self._reporter.end, self._state))
            self._tell(partial(self._reporter.begin, self._plan, self._state))
            stack.callback(self._take_notes)
            self._forget_settled()
            stack.callback(self._forget_settled)
            for performer in (self._local, self._backend):
                if performer is not None:
                    stack.callback(performer.close)
                    self._try(partial(performer.open, self._inbox.put))
            self._receive(block=False)
            while self._state.status == "running":
                commands = self._scheduler.decide(self._clock.now())
                if commands:
                    self._carry_out(commands)
                self._receive(block=not commands)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        events = [
            command.event for command in commands if isinstance(command, (Record, Ask, StartLocal)) and command.event
        ]
        effects = [command for command in commands if not isinstance(command, Record)]
        self._write(events, durable=bool(effects) or any(isinstance(event, _FINAL) for event in events))
        for command in effects:
            if not self._try(partial(self._perform, command)):
                return

    def _try(self, effect: Callable[[], None]) -> bool:
        """Whether it could be done; what stops it interrupts the run, so that it can be resumed."""
        try:
            effect()
        except NoSpaceError:
            raise
        except V6flowError as error:
            self._inbox.put(error)
            return False
        return True

    def _perform(self, command: Command) -> None:
        match command:
            case Ask():
                self._requests[command.request.token] = command.request
                assert self._backend is not None  # a plan with task steps is never made without one
                self._backend.submit(command.request, again=command.again)
            case StartLocal():
                self._local.start(command.request)
            case Kill():
                if self._backend is not None:
                    self._backend.kill(command.token, command.organizations)
            case Look():
                assert self._backend is not None
                self._backend.look(command.token)
            case KillLocal():
                self._local.kill(command.step)
            case Recall():
                assert self._results is not None  # without them the scheduler looks for none
                found = self._results.find(command.step, command.key, command.longest, self._clock.now())
                self._inbox.put(Recalled(command.step, found))
            case Keep():
                assert self._results is not None
                said = self._results.keep(command.step, command.key, command.ended)
                if said is not None:
                    self.note(f"what {command.step} has completed with is not kept for later runs: {said}")
            case Record():
                pass
            case _:
                assert_never(command)

    def _receive(self, *, block: bool) -> None:
        """Take in what has happened; with `block`, wait for it, or until there may be something to do."""
        messages: list[Message] = []
        with contextlib.suppress(queue.Empty):
            if block:
                messages.append(self._wait(self._inbox, self._patience()))
            while True:
                messages.append(self._inbox.get_nowait())
        for message in messages:
            if self._state.status != "running":
                return
            if isinstance(message, Release) and message.kill:
                failure = ev.Failure(message.kind, message.kind)
                self._carry_out(self._scheduler.withdraw(failure, message.exit_code, self._clock.now()))
                return
            events = list(self._interpret(message))
            self._write(events, durable=not isinstance(message, (backends.Accepted, backends.Working)))
            self._forget_unkept()

    def _forget_unkept(self) -> None:
        """Once their outcome is written down, have the backend keep nothing of task runs whose logs are withheld."""
        for token, organization in self._reports.withheld:
            assert self._backend is not None  # it has brought them
            self._backend.forget(token, organization)
        self._reports.withheld.clear()

    def _forget_settled(self) -> None:
        """Have the backend keep nothing of what a killed process, or one that was killed, may have left."""
        if self._backend is None:
            return
        for step in self._state.steps.values():
            if not step.organizations or self._reports.why_withheld(step.name) is None:
                continue
            settled = step.status in SETTLED or self._state.over
            for asked in step.organizations.values():
                if asked.token and (settled or asked.status in ("answered", "failed")):
                    self._backend.forget(asked.token, asked.name)

    def _take_notes(self) -> None:
        """Keep what could not be done at the end."""
        now = self._clock.now()
        with contextlib.suppress(queue.Empty, V6flowError):  # where nothing can be kept, that has been told
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, backends.Remarked):
                    self._write([ev.Noted(now, message.message)], durable=False)

    def _patience(self) -> float | None:
        """The seconds until there may be something to do though nothing happens; None if that may be never."""
        wake = self._scheduler.wake()
        return None if wake is None else max(wake - self._clock.now(), 0.0)

    def _interpret(self, message: Message) -> Iterable[Event]:  # noqa: C901, PLR0912 - one case for each message
        now = self._clock.now()
        match message:
            case (
                backends.Accepted()
                | backends.Working()
                | backends.Dispatched()
                | backends.Answered()
                | backends.Failed()
            ):
                request = self._requests.get(message.token)
                if request is not None:  # nothing was asked under a token that is not known
                    yield from self._reports.of_task(request, message, now)
            case local.AttemptAnswered() | local.AttemptFailed():
                if (
                    self._state.step(message.step).requested
                    and self._state.step(message.step).attempt == message.attempt
                ):
                    yield self._reports.of_local(message, now)
            case CancelRequest():
                if not self._state.cancelling:
                    yield ev.CancelRequested(now, message.by, message.via)
            case DecisionRequest():
                asked = {gate.name: gate.question.at for gate in self._state.gates if gate.question is not None}
                if asked.get(message.step) == message.asked:  # not of what was asked before, or decided meanwhile
                    said = message.decision, message.by, message.comment
                    yield ev.GateDecided(now, message.step, *said, via=message.via)
            case backends.Looked():
                request = self._requests.get(message.token)
                if request is not None:
                    self._scheduler.looked(request.step, message.token)
            case backends.Remarked():
                yield ev.Noted(now, message.message)
            case Recalled():
                self._scheduler.recalled(message.step, message.found)
            case Release():  # with `kill` it leads to commands, not to events alone: see `_receive`
                yield ev.RunInterrupted(now, ev.Failure(message.kind, message.kind), message.exit_code)
            case backends.Broken():
                yield _interrupted(message.error, now)
            case V6flowError():
                yield _interrupted(message, now)
            case _:
                assert_never(message)

    def _write(self, events: Sequence[Event], *, durable: bool) -> None:
        if not events:
            return
        self._journal.append(events, durable=durable)
        for event in events:
            apply(self._state, event)
            self._scheduler.observe(event)
            self._tell(partial(self._reporter.event, event, self._state))

    @staticmethod
    def _tell(report: Callable[[], None]) -> None:
        """Have the reporter hear; neither a terminal that went away nor a reporter's mistake stops a run."""
        with contextlib.suppress(Exception):
            report()


_FINAL = (ev.RunPaused, ev.RunEnding, ev.RunCompleted, ev.RunFailed, ev.RunCancelled)


def _interrupted(error: Exception, now: float) -> Event:
    if not isinstance(error, V6flowError):
        return ev.RunInterrupted(now, ev.Failure("bug", f"{type(error).__name__}: {error}"), 70)
    return ev.RunInterrupted(now, ev.Failure(error.kind, error.message, hint=error.hint), error.exit_code)
