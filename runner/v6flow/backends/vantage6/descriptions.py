"""Holds the steps of a plan against what algorithm stores declare of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.backends.vantage6 import stores
from v6flow.core import declared
from v6flow.core.declared import Algorithm, Misfit, Unknown
from v6flow.core.problem import Problem
from v6flow.core.steps import TaskPlan, WorkflowPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.core.plan import Plan


def misfits(connected: Connected, plan: Plan, *, allow_http: bool) -> list[Problem]:
    """What the task steps call otherwise than a store says, each with its place."""
    steps = [step for step in plan.steps.values() if isinstance(step, TaskPlan)]
    images = dict.fromkeys(step.image for step in steps)
    trusted = {connected.directory.store_id(step.store) for step in steps if step.store is not None}
    known = {
        # who names a store trusts it with our log-in, which it may want to see
        link.id: stores.declared(connected.session, link, images, allow_http=allow_http, as_user=link.id in trusted)
        for link in connected.directory.stores or ()
        if images
    }
    problems = []
    for step in steps:
        named = connected.directory.store_id(step.store) if step.store is not None else None
        if named is not None:
            found = [_judge(step, known[named][step.image])]
        else:
            found = [[*_doubts(step, each[step.image])] for each in known.values()]
        problems += [_placed(plan, step, misfit) for each in found for misfit in each]
    return problems


def _judge(step: TaskPlan, found: Algorithm | Unknown) -> list[Misfit]:
    """What is wrong by the store that the step itself names."""
    if isinstance(found, Algorithm):
        return declared.problems(step, found)
    return [
        Misfit(
            found.reason, "store-image", ("task", "store"), found.hint, severity="error" if found.absent else "warning"
        )
    ]


def _doubts(step: TaskPlan, found: Algorithm | Unknown) -> Iterator[Misfit]:
    """What may be wrong by a store that the step does not name."""
    if isinstance(found, Algorithm):
        for each in declared.problems(step, found):
            yield Misfit(each.message, each.rule, each.path, each.hint, "warning")


def _placed(plan: Plan, step: TaskPlan, misfit: Misfit) -> Problem:
    document = plan.workflow.document
    where = document.position((*step.common.at, *misfit.path))
    for name in plan.steps:  # of a step in another file, the place is that of the step which runs that file
        outer = plan.steps[name]
        if isinstance(outer, WorkflowPlan) and step.common.name.startswith(f"{name}."):
            where = document.position(outer.common.at)
            break
    message = f"step {step.common.name}: {misfit.message}"
    return Problem(message, misfit.rule, document.name, where, misfit.hint, misfit.severity)
