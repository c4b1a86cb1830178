"""Judging a settled task step: whether its quorum is met, and what to say if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.events import Failure
from v6flow.core.units import spell

if TYPE_CHECKING:
    from collections.abc import Collection

    from v6flow.core.plan import Plan
    from v6flow.core.state import Cohort, RunState, StepState
    from v6flow.core.steps.task import Quorum, TaskPlan

MIXED_HINT = "send it to those who answered (organizations: …responded), or say mixed_cohorts: <reason> if you mean it"

CONSEQUENCE = "consequence"
"""The kind of a failure that only follows from another's: never the first cause, whenever it was heard of."""

_FINISHED = "completed"  # vantage6's word for a task run that ended well


def met(quorum: Quorum, needed: int, responded: Collection[str]) -> bool:
    """Whether enough organizations, and all that are required, have answered."""
    return len(responded) >= needed and all(name in responded for name in quorum.required)


def quorum(step: TaskPlan, state: StepState, needed: int) -> Failure | None:
    """Why a step that nobody will answer any more has failed, the first cause first; None if its quorum is met."""
    responded = state.responded
    if met(step.quorum, needed, responded):
        return None
    name = state.name
    asked = len(state.organizations)
    failed = sorted(
        (each for each in state.organizations.values() if each.status == "failed"),
        key=lambda each: (each.failure is not None and each.failure.kind == CONSEQUENCE, each.since),
    )
    missing = [each.name for each in state.organizations.values() if each.status in ("waiting", "requested")]
    alike: dict[str, list[str]] = {}
    for each in failed:
        if each.failure is not None:
            alike.setdefault(f"{_word(each.failure.kind)}: {each.failure.message}", []).append(each.name)
    order = list(state.organizations)
    told = [f"{', '.join(sorted(names, key=order.index))} {what}" for what, names in alike.items()]
    if missing:
        within = f" within {spell(step.timeout)}" if step.timeout is not None else ""
        told.append(f"{', '.join(missing)} did not answer{within}")
    lacking = [each for each in step.quorum.required if each not in responded]
    rule = "all must" if needed == asked else f"{needed} must"
    if lacking and len(responded) >= needed:
        rule = f"{', '.join(lacking)} must"
    message = "; ".join(told)
    if asked > 1:
        message += f" ({len(responded)} of {asked} answered, {rule})"
    first = failed[0].failure if failed else None
    if first is None:
        hint = "the organization may be offline; to ask it again, resume the run with --retry-failed"
        return Failure("timeout", message, name, missing[0] if missing else None, hint)
    return Failure(first.kind, message, name, first.organization or failed[0].name, first.hint, first.log_tail)


def own_cohort(step: TaskPlan, state: StepState) -> Cohort:
    """Whose data a task step's value was computed from: who answered; for a central step, whose subtasks completed."""
    name = state.name
    dispatched = subtasks(state)
    if step.central and dispatched:
        return name, tuple(each for each, status in dispatched.items() if status == _FINISHED)
    return name, tuple(state.responded)


def subtasks(state: StepState) -> dict[str, str]:
    """How each organization fared in what a central function dispatched; of several rounds, the first gone wrong."""
    found: dict[str, str] = {}
    for asked in state.organizations.values():
        for each in asked.subtasks:
            if found.get(each.organization, _FINISHED) == _FINISHED:
                found[each.organization] = each.status
    return found


def first_failure(plan: Plan, state: RunState) -> Failure | None:
    """The failure that ends the run: the earliest of the steps that may not fail. None if there is none."""
    failed = [
        each
        for each in state.steps.values()
        if each.status == "failed"
        and each.failure is not None
        and each.name in plan.steps  # it may have been taken out of the file since; what is nested fails its step
        and plan.steps[each.name].common.on_failure == "fail"
        and not plan.steps[each.name].common.final
    ]
    first = min(failed, key=lambda each: each.ended or 0.0, default=None)
    return first.failure if first is not None else None


def _word(kind: str) -> str:
    return {"crashed": "crashed", "garbage": "answered with garbage", "start_failed": "did not start"}.get(
        kind, "failed"
    )
