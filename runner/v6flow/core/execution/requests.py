"""Tasks as they are asked of organizations: the request, its digest, and what would end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import answers, disclosure
from v6flow.core.execution.commands import Kill, KillLocal, TaskRequest
from v6flow.core.execution.evaluation import mapping
from v6flow.core.kinds import TaskPlan
from v6flow.core.planning import question
from v6flow.core.planning.plan import token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.execution.reuse import Kept
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


def request(
    plan: Plan, step: TaskPlan, name: str, kwargs: Mapping[str, Json], organizations: tuple[str, ...], attempt: int
) -> TaskRequest:
    """What is asked of organizations in an attempt; `kwargs` are those of each."""
    asked = question.of(step, kwargs={each: mapping(kwargs[each]) for each in organizations})
    alone = len(organizations) == 1 and step.isolation == "organization"
    label = step.label or f"{plan.workflow.name}/{name}"
    return TaskRequest(
        token(plan.run, name, organizations, attempt),
        name,
        attempt,
        **asked.sent(),
        name=f"{label}/{organizations[0]}" if alone else label,
        description=step.description,
        withheld=disclosure.least(plan.directory.policy, step) is not None,
    )


def sent(request: TaskRequest) -> str:
    """A digest of what is sent with a request."""
    return question.sent_digest(TaskPlan, request)


def kills(state: StepState) -> list[Kill | KillLocal]:
    """What would end what a step has open: what it asked of organizations, and its child process."""
    if state.requested:
        return [KillLocal(state.name)]
    tokens: dict[str, list[str]] = {}
    for asked in state.organizations.values():
        if asked.status == "requested":
            tokens.setdefault(asked.token, []).append(asked.name)
    return [Kill(token, tuple(names)) for token, names in tokens.items()]


def refused(
    plan: Plan,
    step: TaskPlan,
    name: str,
    asked: Sequence[str],
    kwargs: Mapping[str, Json],
    kept: Kept,
    params: Mapping[str, Json],
) -> str | None:
    """Why answers of an earlier run may not be used today, by what is demanded of them; None if they may."""
    if list(kept.answers) != list(asked):
        return f"run {kept.run} does not have an answer of each"
    if step.isolation == "organization":  # several in one task may have been asked in other groups, by retries
        for each in asked:
            today = sent(request(plan, step, name, kwargs, (each,), 1))
            if kept.sent.get(each, today) != today:
                return f"{each} was asked something else in run {kept.run}"
    for organization, answer in kept.answers.items():
        failure = answers.judge(plan.directory, step, name, organization, answer.value, params)
        if failure is not None:
            return f"what {organization} answered in run {kept.run} would be refused now: {failure.message}"
    return None
