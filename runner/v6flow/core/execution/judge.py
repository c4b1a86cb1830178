"""Judging a settled task step: whether its quorum is met, and the message if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import dispatched
from v6flow.core.execution.events import Failure
from v6flow.core.language.units import spell

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from v6flow.core.execution.standing import OrganizationState
    from v6flow.core.execution.state import StepState
    from v6flow.core.kinds.settings import Quorum
    from v6flow.core.kinds.task import TaskPlan

CONSEQUENCE = "consequence"
"""The kind of a failure that only follows from another's: never the first cause, whenever it was heard of."""


def met(quorum: Quorum, needed: int, responded: Collection[str]) -> bool:
    """Whether enough organizations, and all that are required, have answered."""
    return len(responded) >= needed and all(name in responded for name in quorum.required)


def quorum(step: TaskPlan, state: StepState, needed: int) -> Failure | None:
    """Why a step that nobody will answer any more has failed, the first cause first; None if its quorum is met."""
    responded = state.answered
    if met(step.quorum, needed, responded):
        return None
    name = state.name
    asked = len(state.organizations)
    failed = sorted(
        (each for each in state.organizations.values() if each.status == "failed"),
        key=lambda each: (each.failure is not None and each.failure.kind == CONSEQUENCE, each.since),
    )
    missing = [each for each in state.organizations.values() if each.status in ("waiting", "requested")]
    within = f" within {spell(step.timeout)}" if step.timeout is not None else ""
    told = [*_failures(failed, list(state.organizations)), *_silences(missing, within)]
    lacking = [each for each in step.quorum.required if each not in responded]
    rule = "all must" if needed == asked else f"{needed} must"
    if lacking and len(responded) >= needed:
        rule = f"{', '.join(lacking)} must"
    message = "; ".join(told)
    if asked > 1:
        message += f" ({len(responded)} of {asked} answered, {rule})"
    first = failed[0].failure if failed else None
    if first is None:
        return _timeout(name, missing, message)
    return Failure(first.kind, message, name, first.organization or failed[0].name, first.hint, first.log_tail)


def _failures(failed: Sequence[OrganizationState], order: Sequence[str]) -> list[str]:
    """How those failed who did, those with the same failure together."""
    alike: dict[str, list[str]] = {}
    told: dict[str, None] = {}
    for each in failed:
        if each.failure is None:
            continue
        what = f"{_word(each.failure.kind)}: {each.failure.message}"
        if dispatched.tells_of_subtask(each) or each.failure.kind == dispatched.UNDECLARED:
            what = each.failure.message  # which names who is meant
        else:
            alike.setdefault(what, []).append(each.name)
        told[what] = None
    return [f"{', '.join(sorted(alike[what], key=order.index))} {what}" if what in alike else what for what in told]


def _silences(missing: Sequence[OrganizationState], within: str) -> list[str]:
    """Who did not answer; of a central function, whom it waits for."""
    told = []
    silent = [each.name for each in missing if dispatched.first_lost(each.subtasks) is None]
    for each in missing:
        lost = dispatched.first_lost(each.subtasks)
        if lost is None:
            continue
        if dispatched.is_open(lost):
            names = dict.fromkeys(other.organization for other in each.subtasks if dispatched.is_open(other))
            whom = ", ".join(names)
            told.append(f"{whom} did not answer the central function at {each.name}{within}")
        else:
            told.append(f"{dispatched.tell(lost)}; the central function at {each.name} did not end{within}")
    return [*told, f"{', '.join(silent)} did not answer{within}"] if silent else told


def _timeout(step: str, missing: Sequence[OrganizationState], message: str) -> Failure:
    """The failure of a step that nobody has answered in time."""
    hint = "the organization may be offline; to ask it again, resume the run with --retry-failed"
    for each in missing:
        lost = dispatched.first_lost(each.subtasks)
        if lost is not None:
            return Failure("timeout", message, step, lost.organization, hint, lost.log_tail)
    return Failure("timeout", message, step, missing[0].name if missing else None, hint)


def _word(kind: str) -> str:
    return {"crashed": "crashed", "garbage": "answered with garbage", "start_failed": "did not start"}.get(
        kind, "failed"
    )
