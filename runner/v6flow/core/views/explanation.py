"""What a step of a run did and why, told from the plan and the events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core.execution import cohorts, dispatched, failures, judge, scope
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import SETTLED, RunState, apply
from v6flow.core.expressions import ExpressionError, NotKnownYet, Template
from v6flow.core.kinds import ForeachPlan, RepeatPlan, TaskPlan
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.preview import preview

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.core.execution.events import Event, Failure
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.settings import Quorum
    from v6flow.core.planning.plan import Plan


def explain(plan: Plan, events: Iterable[Event], name: str) -> dict[str, Any]:
    """All that is known of a step: what it is, what it waited for, each attempt, the judgement, and whose data it has.

    Times are UTC, as text; `attempts` are by organization, under "" for a local step. A step that is nested in another
    is named as it is done, `fit[3].gradient`.
    """
    state = RunState()
    history = _History(name)
    for event in events:
        apply(state, event)
        history.take(event)
    step, planned, file_name = state.step(name), plan.step(name), ids.definition(name)
    needs = [ids.prefix(name) + ids.short(other) for other in plan.needs[file_name]]
    told: dict[str, Any] = {
        "run": state.run,
        "workflow": plan.workflow.name,
        "step": name,
        "kind": planned.kind,
        "description": planned.common.description or None,
        "status": step.status,
        "does": next(each for each in preview(plan) if each["step"] == file_name),
        "needs": [_needed(state, other) for other in needs],
        "began_after": _last(needs, state, step),
        "started": _when(step.started),
        "ended": _when(step.ended),
        "seconds": _between(step.started, step.ended),
        "deadline": _when(step.deadline),
        "attempts": history.attempts,
        "taken_up_again": history.resumed,
        "cohorts": [{"step": source, "organizations": list(names)} for source, names in step.carried],
        "mixture_accepted": step.accepted,
        "reasons": _reasons(planned.common.mixed_cohorts, planned.common.allow_cross_site),
        "failure": _failure(step.failure) if step.status == "failed" else None,
        "cause": _cause(state, step),
        "properties": dict(step.properties),
        "incomplete": [each.document() for each in incomplete.of_step(state, name)],
    }
    if isinstance(planned, RepeatPlan):
        told |= {"rounds": step.rounds, "converged": step.converged, "history": [*step.history]}
    if isinstance(planned, ForeachPlan):
        told["items"] = [{"key": each.key, "status": each.status} for each in step.items or ()]
    if isinstance(planned, TaskPlan):
        told |= {
            "asked": step.asked,
            "responded": step.responded,
            "failed": step.failed,
            "missing": step.missing,
            "coordinator": step.coordinator,
            "subtasks": dispatched.statuses(step) if step.coordinator is not None else None,
            "quorum": _quorum(plan, state, planned.quorum, step),
            "closed": step.closed,
        }
    if planned.kind in ("task", "local"):
        told["reuse"] = _reuse(step, history.not_reused)
    if step.question is not None:
        told["gate"] = _gate(step.question, step.decision)
    return told


def _gate(asked: ev.GateAsked, decided: ev.GateDecided | None) -> dict[str, Json]:
    """What a gate has asked whom, and what was decided."""
    told: dict[str, Json] = {"message": asked.message, "approvers": [*asked.approvers], "asked": iso(asked.at)}
    if decided is None:
        return told
    return told | {"decision": decided.decision, "by": decided.by, "at": iso(decided.at), "comment": decided.comment}


def _reuse(step: StepState, reason: str | None) -> dict[str, Json] | None:
    """Which result was reused, or why none was; None for a step that was not to reuse any, or has not begun."""
    if step.reused is not None:
        found = step.reused
        return {"run": found.run, "step": found.source, "answered": iso(found.answered), "reason": None}
    return None if reason is None else {"run": None, "step": None, "answered": None, "reason": reason}


class _History:
    """The attempts of one step, in their order."""

    def __init__(self, step: str) -> None:
        self.attempts: dict[str, list[dict[str, Any]]] = {}
        self.resumed: list[dict[str, Json]] = []
        self.not_reused: str | None = None
        self._step = step
        self._began: dict[int, float] = {}
        self._subtasks: dict[int, tuple[ev.Subtask, ...]] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, ev.RunResumed):
            self._take_up(event)
        elif getattr(event, "step", None) != self._step:
            return
        match event:
            case ev.StepNotReused():
                self.not_reused = event.reason
            case ev.StepCompleted() | ev.StepFailed():
                self._settle(event)
            case ev.LocalRequested():
                self._begin("", event.attempt, event.at)
                self._note("", event.attempt, {"origin": event.origin})
            case ev.LocalFailed():
                self._end("", event.attempt, event.at, event.failure.kind, event.failure)
            case _:
                self._take_task(event)

    def _take_task(self, event: Event) -> None:
        match event:
            case ev.TaskRequested():
                for name in event.organizations:
                    self._begin(name, event.attempt, event.at, event.token)
            case ev.TaskAccepted():
                for each in self._of_token(event.token):
                    each["task"] = event.remote
            case ev.TaskStarted():
                began = event.at if event.began is None else event.began
                self._note(event.organization, event.attempt, {"began": iso(began)})
            case ev.TaskLate():
                self._end(event.organization, event.attempt, event.at, "too late")
            case ev.SubtasksSeen() | ev.TaskAnswered() | ev.TaskFailed():
                self._hear(event)
            case ev.TaskWithdrawn():
                for each in self._of_token(event.token):
                    each["withdrawn"] = True
            case _:
                pass

    def _take_up(self, event: ev.RunResumed) -> None:
        known = bool(self.attempts)
        if known and (self._step in event.retry or self._step in event.reset or self._open()):
            self.resumed.append({"at": iso(event.at), "asks_failed_again": self._step in event.retry})

    def _begin(self, name: str, attempt: int, at: float, token: str | None = None) -> None:
        known = self.attempts.setdefault(name, [])
        known.append({"attempt": attempt, "asked": iso(at), "task": None, "ended": None, "seconds": None,
                      "outcome": "open", "failure": None, "origin": None})  # fmt: skip
        if token is not None:
            known[-1] |= {"token": token, "began": None, "size": None, "image": None}
        self._began[id(known[-1])] = at

    def _hear(self, event: ev.SubtasksSeen | ev.TaskAnswered | ev.TaskFailed) -> None:
        """Note how the subtasks of an attempt stand by now, and how it ended if it has."""
        for each in self.attempts.get(event.organization, ()):
            if each["attempt"] == event.attempt and event.subtasks:
                seen = dispatched.merged(self._subtasks.get(id(each), ()), event.subtasks)
                self._subtasks[id(each)] = seen
                each["subtasks"] = [
                    {"name": name, "organization": subtask.organization, "status": subtask.status,
                     "message": subtask.message} for name, subtask in dispatched.labels(seen)
                ]  # fmt: skip
        if isinstance(event, ev.TaskAnswered):
            known = {"size": event.size, "image": event.image, "origin": event.origin}
            self._note(event.organization, event.attempt, known)
            self._end(event.organization, event.attempt, event.at, "answered")
        elif isinstance(event, ev.TaskFailed):
            self._end(event.organization, event.attempt, event.at, event.failure.kind, event.failure)

    def _end(self, name: str, attempt: int, at: float, outcome: str, failure: Failure | None = None) -> None:
        for each in self.attempts.get(name, ()):
            if each["attempt"] == attempt and each["ended"] is None:
                each |= {"ended": iso(at), "seconds": _between(self._began[id(each)], at), "outcome": outcome}
                each["failure"] = _failure(failure)

    def _note(self, name: str, attempt: int, facts: dict[str, Any]) -> None:
        for each in self.attempts.get(name, ()):
            if each["attempt"] == attempt and each["ended"] is None:
                each.update(facts)

    def _settle(self, event: ev.StepCompleted | ev.StepFailed) -> None:
        for each in self._open():
            if "token" in each:
                each["outcome"] = "no answer"
            else:
                each |= {"ended": iso(event.at), "seconds": _between(self._began[id(each)], event.at),
                         "outcome": "completed" if isinstance(event, ev.StepCompleted) else "failed"}  # fmt: skip

    def _open(self) -> list[dict[str, Any]]:
        return [each for every in self.attempts.values() for each in every if each["outcome"] == "open"]

    def _of_token(self, token: str) -> list[dict[str, Any]]:
        return [each for every in self.attempts.values() for each in every if each.get("token") == token]


def _needed(state: RunState, name: str) -> dict[str, Json]:
    step = state.step(name)
    return {"step": name, "status": step.status, "ended": _when(step.ended)}


def _last(needs: Iterable[str], state: RunState, step: StepState) -> str | None:
    """The step that was waited for last."""
    ended = {name: state.step(name).ended for name in needs}
    begun = step.started if step.started is not None else step.ended
    known = {name: at for name, at in ended.items() if at is not None and begun is not None and at <= begun}
    return max(known, key=known.__getitem__) if known else None


def _quorum(plan: Plan, state: RunState, quorum: Quorum, step: StepState) -> dict[str, Json]:
    """The rule, how many it came to, and whether it is met; None where that is not known yet."""
    told: dict[str, Json] = {
        "min": quorum.minimum.source if isinstance(quorum.minimum, Template) else quorum.minimum,
        "required": list(quorum.required),
        "wait": "all" if quorum.wait else "quorum",
        "needed": None,
        "responded": len(step.answered),
        "met": None,
    }
    if not step.organizations:
        return told
    try:
        minimum: Any = quorum.minimum
        if isinstance(minimum, Template):
            minimum = minimum.render(scope.names(plan, state, cohorts.Uses(), prefix=ids.prefix(step.name)))
        needed = quorum.needed(minimum, len(step.organizations))
    except (ValueError, ExpressionError, NotKnownYet):
        return told
    met = judge.met(quorum, needed, step.answered)
    return told | {"needed": needed, "met": met if met or step.status in SETTLED else None}


def _cause(state: RunState, step: StepState) -> dict[str, Json] | None:
    """Why a step was skipped: the reason, the step for whose failure or condition it was, and how that one failed."""
    if step.cause is None:
        return None
    failure = state.step(step.cause).failure
    return {"reason": step.reason, "step": step.cause, "message": failure.message if failure is not None else None}


def _reasons(mixed: str | None, cross: str | None) -> dict[str, Json]:
    given = {"mixed_cohorts": mixed, "allow_cross_site": cross}
    return {key: reason for key, reason in given.items() if reason is not None}


def _failure(failure: Failure | None) -> dict[str, Json] | None:
    return failures.failure(failure)


def _when(at: float | None) -> str | None:
    return None if at is None else iso(at)


def _between(started: float | None, ended: float | None) -> float | None:
    return None if started is None or ended is None else round(max(ended - started, 0.0), 3)
