"""The engine: decide → journal → perform → journal → apply → tell; the only loop."""

from __future__ import annotations

import contextlib
import queue
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from v6flow.backends import base as backends
from v6flow.core import json
from v6flow.core.execution import answers, dispatched, scope
from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask, Command, Keep, Kill, KillLocal, Look, Recall, Record, StartLocal
from v6flow.core.execution.scheduler import Scheduler
from v6flow.core.execution.state import SETTLED, apply
from v6flow.core.kinds import TaskPlan
from v6flow.core.planning import disclosure, ids
from v6flow.errors import InterruptedRunError, NoSpaceError, TerminatedRunError, V6flowError
from v6flow.local import base as local
from v6flow.stores.base import CancelRequest, DecisionRequest, Request

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from v6flow.clock import Clock
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Event, Subtask
    from v6flow.core.execution.reuse import Basis, Kept, Key
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.reporters.base import Reporter
    from v6flow.stores.base import Journal

LOG_TAIL = 20  # lines of a log that stand in a failure
LOOK = 1.0  # seconds; a signal that comes just before the wait begins is heard only after it


@dataclass(frozen=True, slots=True)
class Release:
    """A signal ends the work on the run, which can be resumed; with `kill`, what it has open is killed."""

    kind: str
    exit_code: int
    kill: bool


@dataclass(frozen=True, slots=True)
class Recalled:
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
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._requests: dict[str, TaskRequest] = {}
        self._unkept: list[tuple[str, str]] = []  # (token, organization) of task runs that the backend must forget

    def interrupt(self, *, terminate: bool = False, kill: bool = False) -> None:
        """Let go of the run, resumable; with `kill`, what it has open is killed. Safe to call from a signal handler."""
        error = TerminatedRunError if terminate else InterruptedRunError
        self._inbox.put(Release(error.kind, error.exit_code, kill))

    def note(self, message: str) -> None:
        """Have a person told, and the journal keep, what they should know."""
        self._inbox.put(backends.Noted(message))

    def hear(self, request: Request) -> None:
        """Cancel the run, or have a gate hear what a person decided. Safe to call from a signal handler."""
        self._inbox.put(request)

    def run(self) -> None:
        """Go on until the state is no longer `running`.

        Raises NoSpaceError or JournalError when the journal cannot be written, and anything for bugs.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: self._tell("end", self._state))
            self._tell("begin", self._plan, self._state)
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
        for token, organization in self._unkept:
            assert self._backend is not None  # it has brought them
            self._backend.forget(token, organization)
        self._unkept.clear()

    def _forget_settled(self) -> None:
        """Have the backend keep nothing of what a killed process, or one that was killed, may have left."""
        if self._backend is None:
            return
        for step in self._state.steps.values():
            if not step.organizations or self._why_withheld(step.name) is None:
                continue
            settled = step.status in SETTLED or self._state.over
            for asked in step.organizations.values():
                if asked.token and (settled or asked.status in ("answered", "failed")):
                    self._backend.forget(asked.token, asked.name)

    def _why_withheld(self, name: str) -> str | None:
        """Why what the algorithms of a step print is neither kept nor shown; None if it is."""
        return disclosure.why_withheld(self._plan.directory.policy, self._plan.steps.get(ids.definition(name)))

    def _take_notes(self) -> None:
        """Keep what could not be done at the end."""
        now = self._clock.now()
        with contextlib.suppress(queue.Empty, V6flowError):  # where nothing can be kept, that has been told
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, backends.Noted):
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
                    yield from self._interpret_report(request, message, now)
            case local.LocalAnswered() | local.LocalFailed():
                if (
                    self._state.step(message.step).requested
                    and self._state.step(message.step).attempt == message.attempt
                ):
                    yield self._local_answer(message, now)
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
            case backends.Noted():
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

    def _interpret_report(
        self,
        request: TaskRequest,
        message: backends.Accepted | backends.Working | backends.Dispatched | backends.Answered | backends.Failed,
        now: float,
    ) -> Iterable[Event]:
        match message:
            case backends.Accepted():
                yield ev.TaskAccepted(now, request.step, message.token, message.remote)
            case backends.Working():
                yield from self._began(request, message, now)
            case backends.Dispatched():
                yield from self._dispatched(request, message, now)
            case _:
                message = self._withheld(request, message)
                if self._scheduler.waits_for(request.step, message.organization, message.token):
                    yield self._answer(request, message, now)
                elif isinstance(message, backends.Answered) and self._is_late(request.step, message):
                    yield ev.TaskLate(now, request.step, message.organization, request.attempt)

    def _began(self, request: TaskRequest, message: backends.Working, now: float) -> Iterable[Event]:
        """That an organization has begun to work, unless just that is known already, as after a resume."""
        asked = self._state.step(request.step).organizations.get(message.organization)
        if asked is None or asked.token != message.token or asked.status != "requested":
            return
        if asked.began is None or asked.began != message.began:
            yield ev.TaskStarted(now, request.step, message.organization, request.attempt, message.began)

    def _is_late(self, step: str, message: backends.Answered) -> bool:
        """Whether an answer that does not enter is the first one to its question."""
        asked = self._state.step(step).organizations.get(message.organization)
        return asked is not None and asked.status == "requested" and asked.token == message.token and not asked.late

    def _withheld(
        self, request: TaskRequest, message: backends.Answered | backends.Failed
    ) -> backends.Answered | backends.Failed:
        """A report without anything that an algorithm printed or raised, where a smallest count is demanded."""
        why = self._why_withheld(request.step)
        if why is None:
            return message
        self._unkept.append((message.token, message.organization))
        message = replace(message, log="", subtasks=disclosure.withheld(message.subtasks))
        if isinstance(message, backends.Answered) or message.own:
            return message
        told = disclosure.sentence(message.kind, why, request.image)
        return replace(message, message=told, hint=disclosure.who_can_see(self._plan.directory.policy))

    def _dispatched(self, request: TaskRequest, message: backends.Dispatched, now: float) -> Iterable[Event]:
        """What is new of what a task run has dispatched, as long as its step waits or may still fail by that."""
        step = self._state.step(request.step)
        asked = step.organizations.get(message.organization)
        if step.status != "running" or step.closed is not None or asked is None or asked.token != message.token:
            return
        withheld = self._why_withheld(request.step) is not None
        subtasks = disclosure.withheld(message.subtasks) if withheld else message.subtasks
        news = dispatched.changed(asked.subtasks, subtasks) if asked.status in ("requested", "answered") else ()
        if news:
            kept = self._with_logs(news)
            yield ev.SubtasksSeen(now, request.step, message.organization, request.attempt, kept)

    def _answer(self, request: TaskRequest, message: backends.Answered | backends.Failed, now: float) -> Event:
        place = now, request.step, message.organization, request.attempt
        step = self._plan.step(request.step)
        assert isinstance(step, TaskPlan)
        if isinstance(message, backends.Answered):
            found = self._judge(request.step, message)
            if not isinstance(found, ev.Failure):
                log, subtasks = self._keep(message.log), self._with_logs(message.subtasks)
                hidden = message.hidden and step.central
                size, image = len(message.body), message.image
                return ev.TaskAnswered(*place, found, log, subtasks, size=size, image=image, hidden=hidden)
        else:
            found = self._failed(request.step, message)
        return ev.TaskFailed(*place, found, self._keep(message.log), self._with_logs(message.subtasks))

    def _failed(self, name: str, message: backends.Failed) -> ev.Failure:
        """Why an organization failed: of a central function whose subtask was lost, that one first."""
        found = _failure(message, name, message.organization)
        step = self._plan.step(name)
        assert isinstance(step, TaskPlan)
        if message.subtasks and not step.central:
            then = f"it then failed: {message.message}"
            return dispatched.undeclared(name, step.method, message.organization, message.subtasks, then)
        lost = dispatched.first_lost(message.subtasks)
        if lost is None or lost.consequence or message.kind == "killed":
            return found
        return dispatched.of_cause(found, lost, message.organization)

    def _with_logs(self, subtasks: tuple[Subtask, ...]) -> tuple[Subtask, ...]:
        """Reported subtasks, with the digests of their logs in place of these."""
        return tuple(replace(each, log=self._keep(each.log) if each.log else None) for each in subtasks)

    def _judge(self, name: str, message: backends.Answered) -> Json | ev.Failure:
        """What an organization answered, or why that is not its result."""
        step = self._plan.step(name)
        assert isinstance(step, TaskPlan)
        if message.subtasks and not step.central:
            return dispatched.undeclared(name, step.method, message.organization, message.subtasks)
        if message.hidden and step.central and step.subtasks == "fail":
            told = "the central function answered, but this user may not see whom it asked, nor who of them answered"
            hint = "an administrator of the server gives the rule task | view | collaboration; " + _PARTIAL
            return ev.Failure("subtasks_hidden", told, name, message.organization, hint)
        lost = dispatched.first_lost(message.subtasks) if step.subtasks == "fail" else None
        if lost is not None:
            told = f"the central function answered, but {dispatched.tell(lost)}"
            return ev.Failure("subtask_failed", told, name, lost.organization, _PARTIAL, lost.log_tail)
        try:
            value = json.loads(message.body, allow_nonfinite=step.allow_nonfinite)
        except json.JsonError as error:
            hint_ = (
                "write allow_nonfinite: true beside task: to let NaN and infinities through"
                if "finite" in str(error)
                else None
            )
            reason = str(error) if self._why_withheld(name) is None else error.unquoted
            return _garbage(reason, name, message.organization, message.log, hint_)
        if value is None:
            return _garbage("null, which is no result", name, message.organization, message.log)
        params = scope.params(self._plan, self._state, name)
        refused = answers.judge(self._plan.directory, step, name, message.organization, value, params)
        if refused is None or refused.kind == "disclosure":
            return value if refused is None else refused
        return replace(refused, log_tail=_tail(message.log))

    def _local_answer(self, message: local.LocalAnswered | local.LocalFailed, now: float) -> Event:
        log = self._keep(message.log)
        if isinstance(message, local.LocalFailed):
            failure = _failure(message, message.step, None)
            return ev.LocalFailed(now, message.step, message.attempt, failure, log)
        try:
            value = json.loads(message.body)
        except json.JsonError as error:
            failure = _garbage(str(error), message.step, None, message.log)
            return ev.LocalFailed(now, message.step, message.attempt, failure, log)
        return self._scheduler.local_completed(message.step, value, log, now)

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
        """Tell the reporter; neither a terminal that went away nor a reporter's mistake stops a run."""
        with contextlib.suppress(Exception):
            getattr(self._reporter, what)(*told)


_PARTIAL = "subtasks: partial accepts what a central function makes of those that answered"
_FINAL = (ev.RunPaused, ev.RunEnding, ev.RunCompleted, ev.RunFailed, ev.RunCancelled)


def _interrupted(error: Exception, now: float) -> Event:
    if not isinstance(error, V6flowError):
        return ev.RunInterrupted(now, ev.Failure("bug", f"{type(error).__name__}: {error}"), 70)
    return ev.RunInterrupted(now, ev.Failure(error.kind, error.message, hint=error.hint), error.exit_code)


def _failure(message: backends.Failed | local.LocalFailed, step: str, organization: str | None) -> ev.Failure:
    return ev.Failure(message.kind, message.message, step, organization, message.hint, _tail(message.log))


def _garbage(why: str, step: str, organization: str | None, log: str, hint: str | None = None) -> ev.Failure:
    return ev.Failure("garbage", f"its result is refused: {why}", step, organization, hint, _tail(log))


def _tail(log: str) -> str:
    return "\n".join(log.rstrip().splitlines()[-LOG_TAIL:])
