"""What kinds with nested steps share: how these failed, and whose answers their values carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core.execution import cohorts, events
from v6flow.core.execution.commands import Record
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Failure
    from v6flow.core.execution.state import StepState
    from v6flow.core.planning.plan import Plan


def begun(name: str, uses: cohorts.Uses, listed: Event) -> list[Command]:
    """The commands of a step that begins with what its nested steps work on."""
    return [Record(events.StepStarted(listed.at, name, (), None, uses.cohorts())), Record(listed)]


def failure_inside(run: Execution, name: str, number: int) -> Failure | None:
    """The first failure in an iteration or item, of the steps that may not fail."""
    failed = [
        state
        for state in map(run.state.step, run.frontier.levels[ids.inside(name, number)].steps)
        if state.status == "failed" and run.plan.step(state.name).common.on_failure == "fail"
    ]
    first = min(failed, key=lambda each: each.ended or 0.0, default=None)
    return first.failure if first is not None else None


def is_outside(run: Execution, name: str, lacked: str) -> bool:
    """Whether what a step's iterations or items lack is what the step itself lacks: nothing in it failed."""
    cause = run.state.step(lacked).cause or lacked
    return not ids.is_in(cause, name)


def joined(run: Execution, completed: events.StepCompleted, accepted: list[set[frozenset[str]]]) -> Event:
    """The event of a step whose parts carry these cohorts, of which some mixtures were accepted."""
    mixed = cohorts.difference(completed.carried, accepted)
    if mixed and run.plan.step(completed.step).common.mixed_cohorts is None:
        failure = events.Failure("cohorts", mixed, step=completed.step, hint=cohorts.MIXED_HINT)
        return events.StepFailed(completed.at, completed.step, failure)
    return run.approved(replace(completed, accepted=mixed is not None or any(accepted)))


def everybody(plan: Plan, state: StepState, *, shrinks: bool = False) -> list[str]:
    """All organizations whose answers the value of a step was computed from, in the federation's order.

    `shrinks`: of a repeat step that continues without those who drop out, only those who are left.
    """
    carried = [set(names) for _, names in state.carried]
    found: set[str] = set.intersection(*carried) if shrinks and carried else set().union(*carried)
    return [name for name in plan.directory.organizations if name in found]
