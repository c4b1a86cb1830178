"""How a `task` step is executed: whom it asks, whom it asks again, when it is settled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core.execution import cohorts, dispatched, events, judge, requests, reuse
from v6flow.core.execution.commands import Ask, Kill, Recall, Record
from v6flow.core.execution.evaluation import StepInvalid
from v6flow.core.execution.failures import failed
from v6flow.core.execution.steps import StepExecution
from v6flow.core.expressions import Template, Undefined
from v6flow.core.kinds.base import SETTLED
from v6flow.core.kinds.organizations import OrganizationError, check_required, parse_organizations
from v6flow.core.planning import ids
from v6flow.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Time
    from v6flow.core.execution.standing import OrganizationState
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.planning.plan import Plan


class Asking(Struct):
    """What is remembered of a task step at work: what it sends to each, and how many must answer."""

    kwargs: Mapping[str, Json]
    uses: cohorts.Uses
    needed: int
    key: reuse.Key | None = None  # under which its result is reused, if it may be
    looked: bool = False  # whether its deadline has made us look
    continued: bool = False  # whether to ask again for what was asked before the run was released


class TaskExecution(StepExecution):
    """The kind `task`, as it is executed."""

    checks_value = False  # `output_schema` is about each answer, and judged when that comes
    always = SETTLED

    def begin(self, run: Execution, step: TaskPlan, name: str, now: Time) -> list[Command]:
        asked = _organizations(run, step, name)
        asking = _asking(run, step, name, asked, check=True)
        state = run.state.step(name)
        found = run.recall(name, asking.key, step.cache) if not state.organizations else None
        if isinstance(found, Recall):
            return [found]
        run.work[name] = asking
        if isinstance(found, reuse.Kept):
            refused = requests.refused(run.plan, step, name, asked, asking.kwargs, found, run.params(name))
            if refused is None:
                run.frontier.touch(name)
                return [Record(reuse.reused(name, found, now, central=step.central))]
            found = refused
        waiting = [
            each for each in asked if each not in state.organizations or state.organizations[each].status != "answered"
        ]
        _check_queries(run, waiting)
        deadline = now + step.timeout if step.timeout is not None else None
        if deadline is not None:
            run.frontier.wake(name, deadline)
        run.frontier.touch(name)  # those who have answered before may be all
        commands: list[Command] = [Record(events.StepNotReused(now, name, found))] if found is not None else []
        carried = asking.uses.cohorts()
        commands.append(Record(events.StepStarted(now, name, asked, deadline, carried, step.central)))
        return commands + _ask(run, step, name, waiting, now)

    def advance(self, run: Execution, step: TaskPlan, name: str, now: Time) -> list[Command]:
        state, asking = run.state.step(name), run.work[name]
        if refused := _refuse_undeclared(step, state, now):
            return refused
        due = _due(run, step, state)
        open_ = [
            each for each in state.organizations.values() if each.status in ("waiting", "requested") or each.name in due
        ]
        reason = state.closed
        if open_ and reason is None:
            if state.deadline is not None and now >= state.deadline:
                if not asking.looked:
                    asking.looked = True
                    if looks := run.look(name, requests.kills(state)):
                        return looks
                if run.unseen.get(name):
                    return []  # what was answered in time may be there
                reason = "timeout"
            elif not step.quorum.wait and judge.met(step.quorum, asking.needed, state.answered):
                reason = "quorum"
        if open_ and reason is None:
            again = [each.name for each in open_ if each.status == "waiting" or due.get(each.name, math.inf) <= now]
            if step.isolation == "task" and any(each.status == "requested" for each in open_):
                again = []  # all are asked in one task: who is to be asked again waits until the end of all is known
            later = [time for time in due.values() if time > now]
            if later:
                run.frontier.wake(name, min(later))
            return _ask(run, step, name, again, now)
        commands: list[Command] = []
        if open_ and state.closed is None and reason is not None:
            commands.append(Record(events.StepClosed(now, name, reason)))
        if open_:
            commands += requests.kills(state)
        failure = judge.quorum(step, state, asking.needed)
        if failure is not None:
            return [*commands, Record(events.StepFailed(now, name, failure))]
        return [*commands, Record(run.completed(name, None, asking.uses, None, now, dispatched.cohorts(state)))]

    def observe(self, run: Execution, event: Any) -> None:
        match event:
            case events.TaskAnswered() | events.TaskFailed() | events.SubtasksSeen():
                run.frontier.touch(event.step)
            case events.TaskAccepted():
                run.looked(event.step, event.token)
            case _:
                pass

    def resume(self, run: Execution, step: TaskPlan, name: str) -> None:
        state = run.state.step(name)
        asking = run.work[name] = _asking(run, step, name, tuple(state.organizations), check=False)
        asking.continued = state.closed is None
        run.frontier.touch(name)
        if state.deadline is not None:
            run.frontier.wake(name, state.deadline)

    def readopt(self, run: Execution, step: TaskPlan, name: str) -> list[Command]:
        """Ask again, under the same tokens, for what was asked before. Raises ResumeError if that is something else."""
        asking: Asking = run.work[name]
        if not asking.continued:
            return []
        asking.continued = False
        together: dict[tuple[str, int, str], list[OrganizationState]] = {}
        for asked in run.state.step(name).organizations.values():
            together.setdefault((asked.token, asked.attempt, asked.digest), []).append(asked)
        commands: list[Command] = []
        for (sent_as, attempt, sent), asked_together in together.items():
            if not any(asked.status == "requested" for asked in asked_together):
                continue
            organizations = tuple(asked.name for asked in asked_together)
            request = requests.request(run.plan, step, name, asking.kwargs, organizations, attempt)
            if request.token != sent_as or requests.sent(request) != sent:
                raise ResumeError(
                    f"step {name} would now send something else to {', '.join(organizations)} than it has sent",
                    hint="start a new run",
                )
            unsubmitted = any(asked.unsubmitted for asked in asked_together)
            commands.append(Ask(request, None, again=not unsubmitted))
            run.unseen.setdefault(name, set()).add(request.token)
        return commands

    def kept(self, run: Execution, step: TaskPlan, name: str) -> reuse.Key | None:
        asking = run.work.get(name)
        return asking.key if asking is not None and reuse.whole(step, run.state.step(name)) else None

    def attributes(self, _plan: Plan, step: TaskPlan, state: StepState) -> Mapping[str, Callable[[], object]]:
        answers = {each.name: each.value for each in state.organizations.values() if each.status == "answered"}
        nobody = Undefined(f"nobody answered step {state.name}")
        found: dict[str, Callable[[], object]] = {
            "asked": lambda: state.asked,
            "failed": lambda: state.failed,
            "missing": lambda: state.missing,
            "responded": lambda: state.responded,
            "failures": lambda: {each: failed(why) for each, why in state.failures.items()},
            "subtasks": lambda: dispatched.statuses(state),
        }
        if dispatched.hides(state):
            hidden = Undefined(f"this user may not see whom the central function of step {state.name} asked")
            found = dict.fromkeys(found, lambda: hidden)
        elif not step.central:
            del found["subtasks"]
        if step.single:
            return {**found, "result": lambda: next(iter(answers.values()), nobody)}
        return {**found, "results": lambda: list(answers.values()), "by_organization": lambda: answers}


def _organizations(run: Execution, step: TaskPlan, name: str) -> tuple[str, ...]:
    """Whom a task step asks. Raises DependencyFailed, StepInvalid."""
    if not isinstance(step.organizations, Template):
        names: Json = list(step.organizations)
    else:
        names = run.render(step.organizations, cohorts.Uses(), ids.prefix(name))
    if step.single and isinstance(names, list) and len(names) != 1:
        raise StepInvalid("organizations", f"this step asks one organization, not {len(names)}")
    try:
        asked = parse_organizations(names, step.members, step.study)
    except OrganizationError as error:
        raise StepInvalid("organizations", str(error), error.hint) from error
    before = _iteration_before(run, name)
    return asked if before is None else _as_before(name, asked, *before)


def _asking(run: Execution, step: TaskPlan, name: str, asked: tuple[str, ...], *, check: bool) -> Asking:
    """What a task step sends to those it asks; `check`: see whether that would mix cohorts.

    Raises DependencyFailed, StepInvalid.
    """
    uses = cohorts.Uses()
    prefix = ids.prefix(name)
    minimum = step.quorum.minimum
    before = _iteration_before(run, name)
    try:
        needed = step.quorum.needed(
            run.render(minimum, uses, prefix) if isinstance(minimum, Template) else minimum, len(asked)
        )
        if before is not None and before[0] == "fixed":
            needed = len(asked)  # those who answered in the first iteration, and all of them
        check_required(step.quorum, asked)
    except ValueError as error:
        raise StepInvalid("quorum", str(error)) from error
    uses = cohorts.Uses()
    kwargs: dict[str, Json] = {}
    each_its_own = any(reference.root == "organization" for reference in step.kwargs.references)
    shared: Json = None
    for each in asked:
        if each_its_own or not kwargs:
            shared = run.render(step.kwargs, uses, prefix, organization=each)
        kwargs[each] = shared
    if check and step.common.mixed_cohorts is None:
        run.mixture(step, uses)
        if not step.central and not any(uses.accepted()):
            mixed = cohorts.unreachable(uses.compared(), asked, needed, step.quorum.required)
            if mixed:
                raise StepInvalid("cohorts", mixed, cohorts.MIXED_HINT)
    key = None
    if step.cache is not None and run.basis is not None:
        key = reuse.of_task(run.plan, step, asked, kwargs, run.basis)
    return Asking(kwargs, uses, max(needed, 1), key)


def _iteration_before(run: Execution, name: str) -> tuple[str, tuple[str, ...]] | None:
    """The policy of the innermost repeat step that has had an iteration, and who answered this step in that one."""
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        policy = run.kind(path).cohort_of(run.plan.step(path), number)
        if policy is None:
            continue
        then = run.state.step(ids.inside(path, policy[1]) + name[len(inner) :])
        if then.status == "completed":
            return policy[0], tuple(then.answered)
    return None


def _as_before(name: str, asked: tuple[str, ...], cohort: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Whom to ask in a later iteration. Raises StepInvalid if those who must be asked are not all among those meant."""
    lost = [each for each in before if each not in asked]
    if cohort == "fixed" and lost:
        message = f"{', '.join(lost)} answered in the first iteration, and would not be asked in this one"
        hint = "cohort: shrink continues with those who answered last; cohort: any with all"
        raise StepInvalid("cohorts", message, hint)
    left = tuple(each for each in asked if each in before)
    if not left:
        raise StepInvalid(
            "cohorts", f"nobody is left of those who answered {ids.short(name)} in the previous iteration"
        )
    return left


def _check_queries(run: Execution, names: list[str]) -> None:
    """Refuse to ask whom the federation's policy does not let us ask again. Raises StepInvalid."""
    too_much = [name for name in names if not run.may_ask(name)]
    if too_much:
        most = run.plan.directory.policy.max_queries
        told = f"{', '.join(too_much)} may not be asked again: the federation's policy allows a run {most} each"
        raise StepInvalid("policy", told, "use fewer task steps or attempts")


def _ask(run: Execution, step: TaskPlan, name: str, names: list[str], now: Time) -> list[Command]:
    if not names:
        return []
    together = [tuple(names)] if step.isolation == "task" else [(each,) for each in names]
    state = run.state.step(name)
    commands: list[Command] = []
    run.asked.update(names)
    for organizations in together:
        tried = [state.organizations[each].attempt for each in organizations if each in state.organizations]
        attempt = 1 + max(tried, default=state.spared)
        request = requests.request(run.plan, step, name, run.work[name].kwargs, organizations, attempt)
        event = events.TaskRequested(now, name, organizations, attempt, request.token, requests.sent(request))
        commands.append(Ask(request, event))
    return commands


def _due(run: Execution, step: TaskPlan, state: StepState) -> dict[str, Time]:
    """When each organization that failed is asked again; not who would be asked after the deadline."""
    end = state.deadline if state.deadline is not None else math.inf
    found: dict[str, Time] = {}
    for each in state.organizations.values():
        if each.status != "failed" or each.failure is None or each.failure.kind not in step.retry.on:
            continue
        tried = each.attempt - each.spared
        if (
            tried < step.retry.attempts
            and run.may_ask(each.name)
            and (due := each.since + step.retry.wait(tried)) < end
        ):
            found[each.name] = due
    return found


def _refuse_undeclared(step: TaskPlan, state: StepState, now: Time) -> list[Command]:
    """Fail, and end, those who were seen to dispatch subtasks though the step does not say so."""
    if step.central:
        return []
    commands: list[Command] = []
    for each in state.organizations.values():
        if not each.subtasks or each.status not in ("requested", "answered"):
            continue
        failure = dispatched.undeclared(state.name, step.method, each.name, each.subtasks)
        failed = events.TaskFailed(now, state.name, each.name, each.attempt, failure, each.log, each.subtasks)
        commands.append(Record(failed))
        if each.status == "requested":
            commands.append(Kill(each.token, (each.name,)))
    return commands


EXECUTION = TaskExecution()
