"""What expressions see of a run: steps and what they offer, with a record of what was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core.execution.failures import failure
from v6flow.core.execution.state import SETTLED
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.execution.cohorts import Uses
    from v6flow.core.execution.events import RunEnding, StepCompleted
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan

NOTHING = object()
"""The state after an iteration that has not ended."""


class StepsView:
    """`steps` in an expression."""

    __slots__ = ("_plan", "_prefix", "_state", "_uses")

    def __init__(self, plan: Plan, state: RunState, uses: Uses, prefix: str) -> None:
        self._plan = plan
        self._state = state
        self._uses = uses
        self._prefix = prefix

    def attribute(self, name: str) -> object:
        found = name if name in self._plan.steps and not self._prefix else self._plan.find(self._prefix, name)
        if found is None:
            return Undefined(f"no step {name!r}")
        step, ending = self._state.step(found), self._state.ending
        if ending is None or step.status in SETTLED or self._plan.step(found).common.final:
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
        if name == "status":
            return step.status
        if name == "error":
            return failure(step.failure) if step.status == "failed" else None
        planned = self._plan.step(step.name)
        kind = STEP_KINDS[planned.kind]
        if name not in kind.execution.always:
            if step.status != "completed":
                reason = f"step {step.name} {'failed' if step.status == 'failed' else 'was skipped'}"
                self._uses.lacked[reason] = step.name
                return Undefined(reason)
            if name not in kind.not_carrying:
                self._uses.carrying[step.name] = step
        offered = kind.execution.attributes(self._plan, planned, step).get(name)
        return Undefined(f"step {step.name} does not offer {name!r}") if offered is None else offered()

    def names(self) -> Iterable[str]:
        return ()


def known(plan: Plan, ending: RunEnding | None) -> dict[str, Json]:
    """The names that are known everywhere, with how the run ends where that is known."""
    found = plan.scope()
    if ending is not None:
        run = found["run"]
        assert isinstance(run, dict)
        found["run"] = {**run, "status": ending.status, "error": failure(ending.failure)}
    return found


def names(
    plan: Plan,
    state: RunState,
    uses: Uses,
    known: Mapping[str, Json] | None = None,
    prefix: str = "",
    following: object = NOTHING,
) -> dict[str, object]:
    """All the names of the expressions of steps with a prefix; `known` are those known everywhere, if not made again.

    `following` is the state that follows the iteration.
    """
    found: dict[str, object] = {
        **(plan.scope() if known is None else known),
        "steps": StepsView(plan, state, uses, prefix),
    }
    for inner in reversed(ids.outward(prefix)[:-1] if prefix else ()):
        path, number = ids.around(inner)
        planned = plan.step(path)
        after = following if inner == prefix else NOTHING
        STEP_KINDS[planned.kind].execution.add_names(found, planned, state.step(path), number, uses, after)
    return found


def params(plan: Plan, state: RunState, path: str) -> Mapping[str, Json]:
    """The params of the file that a step is in: the run's, or those that a workflow step has given."""
    for inner in ids.outward(ids.prefix(path)):
        outer, number = ids.around(inner) if inner else ("", 1)
        if not number:
            return state.step(outer).params or {}
    return plan.params


def this(plan: Plan, completed: StepCompleted, state: StepState, uses: Uses) -> StepView:
    """`this` in an expression: a step that is about to complete, as others will see it."""
    settled = replace(
        state,
        status="completed",
        value=completed.value,
        carried=completed.carried,
        accepted=completed.accepted,
    )
    return StepView(plan, settled, uses)
