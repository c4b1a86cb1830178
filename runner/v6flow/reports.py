"""Translates reports of backends and local steps into events."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from v6flow.backends import base as backends
from v6flow.core import json
from v6flow.core.execution import answers, disclosure, dispatched, scope
from v6flow.core.execution import events as ev
from v6flow.core.planning import ids
from v6flow.local import base as local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Event, Subtask
    from v6flow.core.execution.scheduler import Scheduler
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan

LOG_TAIL = 20  # lines of a log that a failure quotes

TaskReport: TypeAlias = backends.Accepted | backends.Working | backends.Dispatched | backends.Answered | backends.Failed
"""A backend's report about one request."""


class Reports:
    """Translates reports, given the plan and the state of a run, which it does not change.

    `withheld` has the task runs (token, organization) reported since it was last cleared of which the backend must keep
    nothing, once their outcome is recorded.
    """

    def __init__(self, plan: Plan, state: RunState, scheduler: Scheduler, keep: Callable[[bytes], str]) -> None:
        """`keep` stores a log and returns its digest."""
        self.withheld: list[tuple[str, str]] = []
        self._plan = plan
        self._state = state
        self._scheduler = scheduler
        self._kept = keep

    def of_task(self, request: TaskRequest, message: TaskReport, now: float) -> Iterable[Event]:
        """The event for a backend's report about a request."""
        match message:
            case backends.Accepted():
                yield ev.TaskAccepted(now, request.step, message.token, message.remote)
            case backends.Working():
                yield from self._began(request, message, now)
            case backends.Dispatched():
                yield from self._dispatched(request, message, now)
            case _:
                message = self._redacted(request, message)
                if self._scheduler.waits_for(request.step, message.organization, message.token):
                    yield self._answer(request, message, now)
                elif isinstance(message, backends.Answered) and self._is_late(request.step, message):
                    yield ev.TaskLate(now, request.step, message.organization, request.attempt)

    def _began(self, request: TaskRequest, message: backends.Working, now: float) -> Iterable[Event]:
        """The event that an organization has begun to work, unless it is already known, as after a resume."""
        asked = self._state.step(request.step).organizations.get(message.organization)
        if asked is None or asked.token != message.token or asked.status != "requested":
            return
        if asked.began is None or asked.began != message.began:
            yield ev.TaskStarted(now, request.step, message.organization, request.attempt, message.began)

    def _is_late(self, step: str, message: backends.Answered) -> bool:
        """Whether an unused answer is the first one to its request."""
        asked = self._state.step(step).organizations.get(message.organization)
        return asked is not None and asked.status == "requested" and asked.token == message.token and not asked.late

    def _redacted(
        self, request: TaskRequest, message: backends.Answered | backends.Failed
    ) -> backends.Answered | backends.Failed:
        """The report without the algorithm's log and error text, if a minimum count is required."""
        why = self.why_withheld(request.step)
        if why is None:
            return message
        self.withheld.append((message.token, message.organization))
        message = replace(message, log="", subtasks=disclosure.withheld(message.subtasks))
        if isinstance(message, backends.Answered) or message.own:
            return message
        told = disclosure.sentence(message.kind, why, request.image)
        return replace(message, message=told, hint=disclosure.who_can_see(self._plan.directory.policy))

    def _dispatched(self, request: TaskRequest, message: backends.Dispatched, now: float) -> Iterable[Event]:
        """The new subtasks of a task run, while its step is waiting or may still fail because of them."""
        step = self._state.step(request.step)
        asked = step.organizations.get(message.organization)
        if step.status != "running" or step.closed is not None or asked is None or asked.token != message.token:
            return
        withheld = self.why_withheld(request.step) is not None
        subtasks = disclosure.withheld(message.subtasks) if withheld else message.subtasks
        news = dispatched.changed(asked.subtasks, subtasks) if asked.status in ("requested", "answered") else ()
        if news:
            kept = self._with_logs(news)
            yield ev.SubtasksSeen(now, request.step, message.organization, request.attempt, kept)

    def _answer(self, request: TaskRequest, message: backends.Answered | backends.Failed, now: float) -> Event:
        place = now, request.step, message.organization, request.attempt
        step = self._plan.step(request.step).task
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
        """The failure of an organization; for a central function with a failed subtask, that one first."""
        found = _failure(message, name, message.organization)
        step = self._plan.step(name).task
        if message.subtasks and not step.central:
            then = f"it then failed: {message.message}"
            return dispatched.undeclared(name, step.method, message.organization, message.subtasks, then)
        lost = dispatched.first_lost(message.subtasks)
        if lost is None or lost.consequence or message.kind == "killed":
            return found
        return dispatched.of_cause(found, lost, message.organization)

    def _with_logs(self, subtasks: tuple[Subtask, ...]) -> tuple[Subtask, ...]:
        """The reported subtasks, with digests in place of their logs."""
        return tuple(replace(each, log=self._keep(each.log) if each.log else None) for each in subtasks)

    def _judge(self, name: str, message: backends.Answered) -> Json | ev.Failure:
        """The event for an organization's answer, or for the reason why the answer is refused."""
        step = self._plan.step(name).task
        if message.subtasks and not step.central:
            return dispatched.undeclared(name, step.method, message.organization, message.subtasks)
        if message.hidden and step.central and step.subtasks == "fail":
            told = "the central function answered, but this user may not see whom it asked, or which of them answered"
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
            reason = str(error) if self.why_withheld(name) is None else error.unquoted
            return _garbage(reason, name, message.organization, message.log, hint_)
        if value is None:
            return _garbage("null, which is no result", name, message.organization, message.log)
        params = scope.params(self._plan, self._state, name)
        refused = answers.judge(self._plan.directory, step, name, message.organization, value, params)
        if refused is None or refused.kind == "disclosure":
            return value if refused is None else refused
        return replace(refused, log_tail=_tail(message.log))

    def of_local(self, message: local.LocalReport, now: float) -> Event:
        """The event for the end of a local step's attempt."""
        log = self._keep(message.log)
        if isinstance(message, local.AttemptFailed):
            failure = _failure(message, message.step, None)
            return ev.LocalFailed(now, message.step, message.attempt, failure, log)
        try:
            value = json.loads(message.body)
        except json.JsonError as error:
            failure = _garbage(str(error), message.step, None, message.log)
            return ev.LocalFailed(now, message.step, message.attempt, failure, log)
        return self._scheduler.computed(message.step, value, log, now)

    def why_withheld(self, name: str) -> str | None:
        """The reason why the logs of a step's algorithms are neither kept nor shown; None if they are."""
        return disclosure.why_withheld(self._plan.directory.policy, self._plan.steps.get(ids.definition(name)))

    def _keep(self, log: str) -> str | None:
        return self._kept(log.encode("utf-8", "replace")) if log else None


_PARTIAL = "subtasks: partial accepts what a central function makes of those that answered"


def _failure(message: backends.Failed | local.AttemptFailed, step: str, organization: str | None) -> ev.Failure:
    return ev.Failure(message.kind, message.message, step, organization, message.hint, _tail(message.log))


def _garbage(why: str, step: str, organization: str | None, log: str, hint: str | None = None) -> ev.Failure:
    return ev.Failure("garbage", f"its result is refused: {why}", step, organization, hint, _tail(log))


def _tail(log: str) -> str:
    return "\n".join(log.rstrip().splitlines()[-LOG_TAIL:])
