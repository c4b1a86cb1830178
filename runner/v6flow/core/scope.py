"""What expressions see of a run: steps and what they offer, with a record of what was used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from v6flow.core import judge
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.state import SETTLED
from v6flow.core.steps import TaskPlan
from v6flow.core.steps.base import NOT_CARRYING
from v6flow.core.steps.base import SETTLED as ALWAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.events import Failure, RunEnding, StepCompleted
    from v6flow.core.json import Json
    from v6flow.core.plan import Plan
    from v6flow.core.state import Cohort, OrganizationState, RunState, StepState


class Uses:
    """What one evaluation used: the steps whose value it carries, and the failed ones that it lacked.

    `lacked` has such a step by the reason that expressions give when they cannot do without it.
    """

    __slots__ = ("carrying", "lacked")

    def __init__(self) -> None:
        self.carrying: dict[str, StepState] = {}
        self.lacked: dict[str, str] = {}

    def cohorts(self) -> tuple[Cohort, ...]:
        """The cohorts of all that was used, each once."""
        found: dict[Cohort, None] = {}
        for step in self.carrying.values():
            found.update(dict.fromkeys(step.carried))
        return tuple(found)

    def accepted(self) -> list[set[frozenset[str]]]:
        """For each value whose mixture was accepted, the cohorts it mixes."""
        return [{frozenset(names) for _, names in step.carried} for step in self.carrying.values() if step.accepted]


class StepsView:
    """`steps` in an expression."""

    __slots__ = ("_plan", "_state", "_uses")

    def __init__(self, plan: Plan, state: RunState, uses: Uses) -> None:
        self._plan = plan
        self._state = state
        self._uses = uses

    def attribute(self, name: str) -> object:
        if name not in self._plan.steps:
            return Undefined(f"no step {name!r}")
        step, ending = self._state.step(name), self._state.ending
        if ending is None or step.status in SETTLED or self._plan.steps[name].common.final:
            return StepView(self._plan, step, self._uses)
        cut_off = "cancelled" if ending.status == "cancelled" else "interrupted"
        standing = cut_off if step.status in ("running", "waiting") else step.status
        return StepView(self._plan, replace(step, status="skipped"), self._uses, standing)

    def names(self) -> Iterable[str]:
        return self._plan.steps


class StepView:
    """`steps.x` in an expression."""

    __slots__ = ("_plan", "_standing", "_step", "_uses")

    def __init__(self, plan: Plan, step: StepState, uses: Uses, standing: str | None = None) -> None:
        self._plan = plan
        self._step = step
        self._uses = uses
        self._standing = standing  # of a step that the end of the run has cut off

    def attribute(self, name: str) -> object:
        step = self._step
        if name == "status" and self._standing is not None:
            return self._standing
        if step.status not in SETTLED:
            raise NotKnownYet(f"steps.{step.name}.{name}")
        if name in ALWAYS:
            return _settled(step, name)
        if step.status != "completed":
            reason = f"step {step.name} {'failed' if step.status == 'failed' else 'was skipped'}"
            self._uses.lacked[reason] = step.name
            return Undefined(reason)
        if name not in NOT_CARRYING:
            self._uses.carrying[step.name] = step
        return _offered(self._plan, step, name)

    def names(self) -> Iterable[str]:
        return ()


def this(plan: Plan, completed: StepCompleted, state: StepState, uses: Uses) -> StepView:
    """`this` in an expression: a step that is about to complete, as others will see it."""
    return StepView(plan, replace(state, status="completed", value=completed.value), uses)


def known(plan: Plan, ending: RunEnding | None) -> dict[str, Json]:
    """The names that are known everywhere, with how the run ends where that is known."""
    found = plan.scope()
    if ending is not None:
        run = found["run"]
        assert isinstance(run, dict)
        found["run"] = {**run, "status": ending.status, "error": failure(ending.failure)}
    return found


def names(plan: Plan, state: RunState, uses: Uses, known: Mapping[str, Json] | None = None) -> dict[str, object]:
    """All the names of a step's own expressions; `known` are those known everywhere, made anew if not given."""
    return {**(plan.scope() if known is None else known), "steps": StepsView(plan, state, uses)}


def _settled(step: StepState, name: str) -> Json:
    match name:
        case "status":
            return step.status
        case "error":
            return failure(step.failure) if step.status == "failed" else None
        case "asked":
            return step.asked
        case "failed":
            return step.failed
        case _:
            return step.missing


def _offered(plan: Plan, step: StepState, name: str) -> object:
    planned = plan.steps[step.name]
    if not isinstance(planned, TaskPlan):
        return step.value if name == "result" else Undefined(f"step {step.name} does not offer {name!r}")
    answered = [each for each in step.organizations.values() if each.status == "answered"]
    match name:
        case "results" if not planned.single:
            return [each.value for each in answered]
        case "by_organization" if not planned.single:
            return {each.name: each.value for each in answered}
        case "result" if planned.single:
            return answered[0].value if answered else Undefined(f"nobody answered step {step.name}")
        case "responded":
            return step.responded
        case "failures":
            return {each.name: failed(each) for each in step.organizations.values() if each.status == "failed"}
        case "subtasks" if planned.central:
            return judge.subtasks(step)
        case _:
            return Undefined(f"step {step.name} does not offer {name!r}")


def failed(organization: OrganizationState) -> dict[str, Json]:
    """An organization's failure, as `.failures[name]` and JSON documents show it."""
    given = organization.failure
    if given is None:
        return {"status": organization.status, "message": "", "log_tail": ""}
    return {"status": given.kind, "message": given.message, "log_tail": given.log_tail}


def failure(given: Failure | None) -> dict[str, Json] | None:
    """A failure as `.error` and JSON documents show it."""
    if given is None:
        return None
    return {
        "kind": given.kind,
        "message": given.message,
        "step": given.step,
        "organization": given.organization,
        "hint": given.hint,
    }
