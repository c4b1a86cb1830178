"""Holds the steps of a plan against what algorithm stores declare of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.backends.vantage6 import stores
from v6flow.core.checks import declarations
from v6flow.core.checks.declarations import DeclaredAlgorithm, Misfit, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.backends.vantage6.server_names import ServerDirectory
    from v6flow.backends.vantage6.session import Session
    from v6flow.core.kinds import TaskPlan
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan


def misfits(session: Session, known: ServerDirectory, plan: Plan, *, allow_http: bool) -> list[Problem]:
    """What the task steps call otherwise than a store says, each with its place."""
    found = compared(session, known, plan, allow_http=allow_http)
    return [declarations.placed(plan, step, misfit) for step, misfit in found]


def compared(
    session: Session, known: ServerDirectory, plan: Plan, *, allow_http: bool
) -> Iterator[tuple[TaskPlan, Misfit]]:
    """What the task steps call otherwise than a store of the directory says."""
    steps = plan.tasks()
    images = dict.fromkeys(step.image for step in steps)
    trusted = {known.store_id(step.store) for step in steps if step.store is not None}
    declares = {
        # who names a store trusts it with our log-in, which it may want to see
        link.id: stores.declared(session, link, images, allow_http=allow_http, as_user=link.id in trusted)
        for link in known.stores or ()
        if images
    }
    for step in steps:
        named = known.store_id(step.store) if step.store is not None else None
        if named is not None:
            found = [_judge(step, declares[named][step.image])]
        else:
            found = [[*_doubts(step, each[step.image])] for each in declares.values()]
        yield from ((step, misfit) for each in found for misfit in each)


def _judge(step: TaskPlan, found: DeclaredAlgorithm | Unknown) -> list[Misfit]:
    """What is wrong by the store that the step itself names."""
    if isinstance(found, DeclaredAlgorithm):
        return declarations.problems(step, found)
    return [
        Misfit(
            found.reason, "store-image", ("task", "store"), found.hint, severity="error" if found.absent else "warning"
        )
    ]


def _doubts(step: TaskPlan, found: DeclaredAlgorithm | Unknown) -> Iterator[Misfit]:
    """What may be wrong by a store that the step does not name."""
    if isinstance(found, DeclaredAlgorithm):
        for each in declarations.problems(step, found):
            yield Misfit(each.message, each.rule, each.path, each.hint, "warning")
