"""What a step of a run did and why, told from the plan and the events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.core.execution import dispatched
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import RunState, apply
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.base import View
from v6flow.core.views.by_kind import view_of
from v6flow.core.views.preview import preview
from v6flow.core.views.summary import Error, error, moment, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from v6flow.core.execution.events import Event, Failure
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.explained import Explained
    from v6flow.core.views.incomplete import Incomplete
    from v6flow.core.views.preview import Preview


class ExplainedSubtask(View, frozen=True):
    """A subtask that a central function sent.

    name: its organization, with a number where it has several
    organization: its organization
    status: as at the server
    message: why it failed
    """

    name: str
    organization: str
    status: str
    message: str


class ExplainedTaskRun(View, frozen=True):
    """What only an attempt of a task has.

    token: the token that the task carries
    began: when the organization's node began to work, by the federation's clock if it records that
    size: of the result, in bytes
    image: the digest of the image that ran
    withdrawn (killed when the run was let go of): true
    """

    OPTIONAL = ("withdrawn",)
    token: str
    began: str | None = None
    size: int | None = None
    image: str | None = None
    withdrawn: bool | None = None


class Attempt(View, frozen=True):
    """An attempt of an organization or of a local step.

    attempt: its number
    asked: when it was requested
    task: the task at the federation
    ended: when it ended
    seconds: from the one to the other
    outcome: how it ended
    failure: why it failed
    origin: digests of what the result was computed from, by what it is
    subtasks (of a central function): the subtasks that it sent
    """

    OPTIONAL = ("subtasks",)
    FLAT = ("run",)
    attempt: int
    asked: str
    task: str | None = None
    ended: str | None = None
    seconds: float | None = None
    outcome: str = "open"
    failure: Error | None = None
    origin: Mapping[str, Json] | None = None
    run: ExplainedTaskRun | None = None
    subtasks: tuple[ExplainedSubtask, ...] | None = None


class Needed(View, frozen=True):
    """A step that was waited for.

    step: its name
    status: its status
    ended: when it ended
    """

    step: str
    status: str
    ended: str | None


class Resumption(View, frozen=True):
    """That the run was resumed while the step was at work.

    at: when
    asks_failed_again: whether those who had failed are asked again
    """

    at: str
    asks_failed_again: bool


class ExplainedCohort(View, frozen=True):
    """Answers that a value was computed from.

    step: the step whose answers they are
    organizations: who answered
    """

    step: str
    organizations: tuple[str, ...]


class Reasons(View, frozen=True):
    """The reasons that a step gives for what is otherwise refused.

    mixed_cohorts (with `mixed_cohorts`): why cohorts may mix
    allow_cross_site (with `allow_cross_site`): why others may be sent what single organizations answered
    """

    OPTIONAL = ("mixed_cohorts", "allow_cross_site")
    mixed_cohorts: str | None
    allow_cross_site: str | None


class Cause(View, frozen=True):
    """Why a step was skipped.

    reason: `when`, `failed` or `skipped`
    step: the step for whose failure or condition it was
    message: how that one failed
    """

    reason: str | None
    step: str
    message: str | None


class Explanation(View, frozen=True):
    """All that is known of a step. Times are UTC, as text; `attempts` are under "" for a local step.

    run: the run's id
    workflow: the workflow's name
    step: the step as it is run, `fit[3].gradient`
    kind: its kind
    description: as in the file
    status: see [Status values](#status-values)
    does: what it sends or computes, as `v6flow plan` shows it
    needs: the steps that it waits for: `{step, status, ended}`
    began_after: the one of them that ended last
    started: when it began
    ended: when it ended
    seconds: from the one to the other
    deadline: until when it waits at the latest
    attempts: by organization; see [Attempts](#attempts)
    taken_up_again: when the run was resumed while it was at work
    cohorts: whose answers its value was computed from
    mixture_accepted: whether these may mix
    reasons: the reasons that it gives for what is otherwise refused
    failure: why it failed
    cause: why it was skipped
    properties: what it published
    incomplete: what is incomplete in it and in the steps nested in it
    organization (with ORGANIZATION): whose attempts these are
    """

    OPTIONAL = ("organization",)
    FLAT = ("more",)
    run: str
    workflow: str
    step: str
    kind: str
    description: str | None
    status: str
    does: Preview
    needs: tuple[Needed, ...]
    began_after: str | None
    started: str | None
    ended: str | None
    seconds: float | None
    deadline: str | None
    attempts: Mapping[str, tuple[Attempt, ...]]
    taken_up_again: tuple[Resumption, ...]
    cohorts: tuple[ExplainedCohort, ...]
    mixture_accepted: bool
    reasons: Reasons
    failure: Error | None
    cause: Cause | None
    properties: Mapping[str, Json]
    incomplete: tuple[Incomplete, ...]
    more: Explained | None
    organization: str | None = None

    @property
    def organizations(self) -> list[str]:
        """Whom it asked, those included who were asked in earlier attempts only."""
        asked = self.more.organizations if self.more is not None else ()
        tried = [name for name, attempts in self.attempts.items() if any(each.run for each in attempts)]
        return list(dict.fromkeys((*asked, *tried)))

    def only(self, organization: str) -> Explanation:
        """It with what is about one organization alone."""
        attempts = {name: each for name, each in self.attempts.items() if name == organization}
        if not attempts:  # a central function asked it: its subtasks are those of the attempts of that
            attempts = {
                name: tuple(_only(each, organization) for each in every) for name, every in self.attempts.items()
            }
        return replace(self, attempts=attempts, organization=organization)


def _only(attempt: Attempt, organization: str) -> Attempt:
    """An attempt with the subtasks at one organization alone."""
    return replace(attempt, subtasks=tuple(s for s in attempt.subtasks or () if s.organization == organization))


def explain(
    plan: Plan, events: Iterable[Event], name: str, standing: Callable[[StepState], str] | None = None
) -> Explanation:
    """The explanation of a step; `standing` gives its status, by default that of its state.

    A step that is nested in another is named as it is done, `fit[3].gradient`.
    """
    state = RunState()
    history = _History(name)
    for event in events:
        apply(state, event)
        history.take(event)
    step, planned, file_name = state.step(name), plan.step(name), ids.definition(name)
    needs = [ids.prefix(name) + ids.short(other) for other in plan.needs[file_name]]
    common = planned.common
    return Explanation(
        run=state.run,
        workflow=plan.workflow.name,
        step=name,
        kind=planned.kind,
        description=common.description or None,
        status=step.status if standing is None else standing(step),
        does=next(each for each in preview(plan) if each.step == file_name),
        needs=tuple(Needed(other, state.step(other).status, moment(state.step(other).ended)) for other in needs),
        began_after=_last(needs, state, step),
        started=moment(step.started),
        ended=moment(step.ended),
        seconds=seconds(step.started, step.ended),
        deadline=moment(step.deadline),
        attempts={name: tuple(each) for name, each in history.attempts.items()},
        taken_up_again=tuple(history.resumed),
        cohorts=tuple(ExplainedCohort(source, tuple(names)) for source, names in step.carried),
        mixture_accepted=step.accepted,
        reasons=Reasons(common.mixed_cohorts, common.allow_cross_site),
        failure=error(step.failure) if step.status == "failed" else None,
        cause=_cause(state, step),
        properties=dict(step.properties),
        incomplete=incomplete.of_step(state, name),
        more=view_of(planned.kind).explain(plan, state, step, planned, history.not_reused),
    )


class _History:
    """The attempts of one step, in their order."""

    def __init__(self, step: str) -> None:
        self.attempts: dict[str, list[Attempt]] = {}
        self.resumed: list[Resumption] = []
        self.not_reused: str | None = None
        self._step = step
        self._began: dict[tuple[str, int], float] = {}  # by the organization and the place among its attempts
        self._subtasks: dict[tuple[str, int], tuple[ev.Subtask, ...]] = {}

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
                self._begin("", event.at, Attempt(event.attempt, iso(event.at), origin=event.origin))
            case ev.LocalFailed():
                self._end("", event.attempt, event.at, event.failure.kind, event.failure)
            case _:
                self._take_task(event)

    def _take_task(self, event: Event) -> None:
        match event:
            case ev.TaskRequested():
                for name in event.organizations:
                    self._begin(
                        name, event.at, Attempt(event.attempt, iso(event.at), run=ExplainedTaskRun(event.token))
                    )
            case ev.TaskAccepted():
                self._of_token(event.token, lambda each: replace(each, task=event.remote))
            case ev.TaskStarted():
                began = iso(event.at if event.began is None else event.began)
                self._open_ones(event.organization, event.attempt, lambda each: _ran(each, began=began))
            case ev.TaskLate():
                self._end(event.organization, event.attempt, event.at, "too late")
            case ev.SubtasksSeen() | ev.TaskAnswered() | ev.TaskFailed():
                self._hear(event)
            case ev.TaskWithdrawn():
                self._of_token(event.token, lambda each: _ran(each, withdrawn=True))
            case _:
                pass

    def _take_up(self, event: ev.RunResumed) -> None:
        is_open = any(each.outcome == "open" for every in self.attempts.values() for each in every)
        if self.attempts and (self._step in event.retry or self._step in event.reset or is_open):
            self.resumed.append(Resumption(iso(event.at), self._step in event.retry))

    def _begin(self, name: str, at: float, attempt: Attempt) -> None:
        known = self.attempts.setdefault(name, [])
        self._began[name, len(known)] = at
        known.append(attempt)

    def _hear(self, event: ev.SubtasksSeen | ev.TaskAnswered | ev.TaskFailed) -> None:
        """Note how the subtasks of an attempt stand by now, and how it ended if it has."""
        known = self.attempts.get(event.organization, [])
        for place, each in enumerate(known):
            if each.attempt == event.attempt and event.subtasks:
                at = event.organization, place
                self._subtasks[at] = dispatched.merged(self._subtasks.get(at, ()), event.subtasks)
                seen = dispatched.labels(self._subtasks[at])
                subtasks = (ExplainedSubtask(name, one.organization, one.status, one.message) for name, one in seen)
                known[place] = replace(each, subtasks=tuple(subtasks))
        if isinstance(event, ev.TaskAnswered):
            size, image, origin = event.size, event.image, event.origin
            self._open_ones(
                event.organization,
                event.attempt,
                lambda each: replace(_ran(each, size=size, image=image), origin=origin),
            )
            self._end(event.organization, event.attempt, event.at, "answered")
        elif isinstance(event, ev.TaskFailed):
            self._end(event.organization, event.attempt, event.at, event.failure.kind, event.failure)

    def _open_ones(self, name: str, attempt: int, change: Callable[[Attempt], Attempt]) -> None:
        """Change the attempts of this number that have not ended."""
        known = self.attempts.get(name, [])
        known[:] = [change(each) if each.attempt == attempt and each.ended is None else each for each in known]

    def _of_token(self, token: str, change: Callable[[Attempt], Attempt]) -> None:
        for known in self.attempts.values():
            known[:] = [change(each) if each.run and each.run.token == token else each for each in known]

    def _end(self, name: str, attempt: int, at: float, outcome: str, failure: Failure | None = None) -> None:
        for place, each in enumerate(self.attempts.get(name, ())):
            if each.attempt == attempt and each.ended is None:
                took = seconds(self._began[name, place], at)
                self.attempts[name][place] = replace(
                    each, ended=iso(at), seconds=took, outcome=outcome, failure=error(failure)
                )

    def _settle(self, event: ev.StepCompleted | ev.StepFailed) -> None:
        fate = "completed" if isinstance(event, ev.StepCompleted) else "failed"
        for name, known in self.attempts.items():
            for place, each in enumerate(known):
                if each.outcome == "open" and each.run is not None:
                    known[place] = replace(each, outcome="no answer")
                elif each.outcome == "open":
                    took = seconds(self._began[name, place], event.at)
                    known[place] = replace(each, ended=iso(event.at), seconds=took, outcome=fate)


def _ran(attempt: Attempt, **facts: Any) -> Attempt:
    """An attempt of a task with more facts about its run."""
    return attempt if attempt.run is None else replace(attempt, run=replace(attempt.run, **facts))


def _last(needs: Iterable[str], state: RunState, step: StepState) -> str | None:
    """The step that was waited for last."""
    ended = {name: state.step(name).ended for name in needs}
    begun = step.started if step.started is not None else step.ended
    known = {name: at for name, at in ended.items() if at is not None and begun is not None and at <= begun}
    return max(known, key=known.__getitem__) if known else None


def _cause(state: RunState, step: StepState) -> Cause | None:
    """Why a step was skipped: the reason, the step for whose failure or condition it was, and how that one failed."""
    if step.cause is None:
        return None
    failure = state.step(step.cause).failure
    return Cause(step.reason, step.cause, failure.message if failure is not None else None)
