"""What expressions see of a run: steps and what they offer, with a record of what was used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from v6flow.core.execution import dispatched
from v6flow.core.execution.state import SETTLED
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.kinds import ForeachPlan, GatePlan, LocalPlan, RepeatPlan, TaskPlan, WorkflowPlan
from v6flow.core.kinds.base import NOT_CARRYING
from v6flow.core.kinds.base import SETTLED as ALWAYS
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.execution.events import Failure, RunEnding, StepCompleted
    from v6flow.core.execution.state import Cohort, RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


class Uses:
    """What one evaluation used: the steps whose value it carries, and the failed ones that it lacked.

    `lacked` has such a step by the reason that expressions give when they cannot do without it. `loose` are the repeat
    steps whose rounds may differ in who answers: the state of an earlier round is not held against a later one.
    """

    __slots__ = ("carrying", "lacked", "loose")

    def __init__(self) -> None:
        self.carrying: dict[str, StepState] = {}
        self.loose: set[str] = set()
        self.lacked: dict[str, str] = {}

    def cohorts(self) -> tuple[Cohort, ...]:
        """The cohorts of all that was used, each once."""
        found: dict[Cohort, None] = {}
        for step in self.carrying.values():
            found.update(dict.fromkeys(step.carried))
        return tuple(found)

    def compared(self) -> tuple[Cohort, ...]:
        """The cohorts that must be the same: all but those that only the state of an earlier round carries."""
        if not self.loose:
            return self.cohorts()
        found: dict[Cohort, None] = {}
        for name, step in self.carrying.items():
            if name not in self.loose:
                found.update(dict.fromkeys(step.carried))
        return tuple(found)

    def accepted(self) -> list[set[frozenset[str]]]:
        """For each value whose mixture was accepted, the cohorts it mixes."""
        return [{frozenset(names) for _, names in step.carried} for step in self.carrying.values() if step.accepted]


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
        if name in ALWAYS and (name in ("status", "error") or isinstance(self._plan.step(step.name), TaskPlan)):
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


class RoundView:
    """`loop` in an expression: the rounds of the innermost repeat step, and of those around it by their `as`.

    `loose`: who answers may differ from round to round. `following` is the state after the round, where it is known
    already.
    """

    __slots__ = ("_following", "_loose", "_named", "_number", "_step", "_uses")

    def __init__(
        self, step: StepState, number: int, uses: Uses, named: dict[str, RoundView], following: object, *, loose: bool
    ) -> None:
        self._step = step
        self._number = number
        self._uses = uses
        self._named = named
        self._following = following
        self._loose = loose

    def attribute(self, name: str) -> object:
        if name == "index":
            return self._number
        if name == "state":
            if self._number > len(self._step.history):
                raise NotKnownYet("loop.state")
            self._uses.carrying[self._step.name] = self._step
            if self._loose and self._number > 1:
                self._uses.loose.add(self._step.name)
            return self._step.history[self._number - 1]
        if name == "next" and self._following is not NOTHING:
            return self._following
        return self._named.get(name, Undefined(f"loop has no {name!r}"))

    def names(self) -> Iterable[str]:
        return ("index", "state", *self._named)


class ItemView:
    """`each` in an expression: the item of the innermost foreach step, and of those around it by their `as`."""

    __slots__ = ("_items", "_key", "_number", "_uses")

    def __init__(self, number: int, key: str, items: dict[str, tuple[StepState, Json]], uses: Uses) -> None:
        self._number = number
        self._key = key
        self._items = items
        self._uses = uses

    def attribute(self, name: str) -> object:
        if name == "index":
            return self._number
        if name == "key":
            return self._key
        if name not in self._items:
            return Undefined(f"each has no {name!r}")
        step, item = self._items[name]
        self._uses.carrying[step.name] = step
        return item

    def names(self) -> Iterable[str]:
        return ("index", "key", *self._items)


class ParamsView:
    """`params` in the expressions of another file: what the step that runs it has given."""

    __slots__ = ("_step", "_uses")

    def __init__(self, step: StepState, uses: Uses) -> None:
        self._step = step
        self._uses = uses

    def attribute(self, name: str) -> object:
        given = self._step.params
        if given is None:
            raise NotKnownYet(f"params.{name}")
        if name not in given:
            return Undefined(f"no param {name!r}")
        if self._step.carried:
            self._uses.carrying[self._step.name] = self._step
        return given[name]

    def names(self) -> Iterable[str]:
        return self._step.params or ()


NOTHING = object()


def of_item(around: Mapping[str, object], key: str, number: int, alias: str, item: Json) -> dict[str, object]:
    """The names of an expression of a foreach step that gives an item its key: those around it, and the item."""
    outer = around.get("each")
    return {**around, "each": _Candidate(key, number, alias, item, outer if isinstance(outer, ItemView) else None)}


class _Candidate:
    """`each` where the items are not listed yet."""

    __slots__ = ("_known", "_outer")

    def __init__(self, key: str, number: int, alias: str, item: Json, outer: ItemView | None) -> None:
        self._known: dict[str, Json] = {"key": key, "index": number, alias: item}
        self._outer = outer

    def attribute(self, name: str) -> object:
        if name in self._known:
            return self._known[name]
        return Undefined(f"each has no {name!r}") if self._outer is None else self._outer.attribute(name)

    def names(self) -> Iterable[str]:
        return self._known


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
    """All the names of the expressions of steps with a prefix; `known` are those known everywhere, if not made anew.

    `following` is the state that follows the round.
    """
    found: dict[str, object] = {
        **(plan.scope() if known is None else known),
        "steps": StepsView(plan, state, uses, prefix),
    }
    if prefix:
        _add_rounds(found, plan, state, uses, prefix, following)
    return found


def _add_rounds(
    found: dict[str, object], plan: Plan, state: RunState, uses: Uses, prefix: str, following: object
) -> None:
    """Add the rounds and items that a prefix is inside of, from the outermost inward."""
    loops: dict[str, RoundView] = {}
    items: dict[str, tuple[StepState, Json]] = {}
    for inner in reversed(ids.outward(prefix)[:-1]):
        path, number = ids.around(inner)
        planned, step = plan.step(path), state.step(path)
        if isinstance(planned, WorkflowPlan):  # another file sees nothing of what is around
            found["params"] = ParamsView(step, uses)
            loops, items = {}, {}
            found.pop("loop", None)
            found.pop("each", None)
        if isinstance(planned, RepeatPlan):
            named = dict(loops)
            after = following if inner == prefix else NOTHING
            view = RoundView(step, number, uses, named, after, loose=planned.cohort != "fixed")
            if planned.alias is not None:
                loops[planned.alias] = named[planned.alias] = view
            found["loop"] = view
        elif isinstance(planned, ForeachPlan):
            known_ = step.items[number - 1] if step.items else None
            items[planned.alias] = (step, known_.item if known_ is not None else None)
            found["each"] = ItemView(number, known_.key if known_ is not None else "", dict(items), uses)


def params(plan: Plan, state: RunState, path: str) -> Mapping[str, Json]:
    """The params of the file that a step stands in: the run's, or those that a workflow step has given."""
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


def _settled(step: StepState, name: str) -> object:
    match name:
        case "status":
            return step.status
        case "error":
            return failure(step.failure) if step.status == "failed" else None
        case _ if dispatched.hides(step):
            return _hidden(step)
        case "asked":
            return step.asked
        case "failed":
            return step.failed
        case _:
            return step.missing


def _offered(plan: Plan, step: StepState, name: str) -> object:
    planned = plan.step(step.name)
    if isinstance(planned, (LocalPlan, GatePlan)):
        return step.value if name == "result" else Undefined(f"step {step.name} does not offer {name!r}")
    if isinstance(planned, RepeatPlan):
        return _of_rounds(plan, step, name)
    if isinstance(planned, ForeachPlan):
        return _of_items(plan, step, name)
    if isinstance(planned, WorkflowPlan):
        if name == "responded":
            return everybody(plan, step)
        return step.value if name == "result" else Undefined(f"step {step.name} does not offer {name!r}")
    answered = [each for each in step.organizations.values() if each.status == "answered"]
    match name:
        case "responded" | "failures" | "subtasks" if dispatched.hides(step):
            return _hidden(step)
        case "results" if not planned.single:
            return [each.value for each in answered]
        case "by_organization" if not planned.single:
            return {each.name: each.value for each in answered}
        case "result" if planned.single:
            return answered[0].value if answered else Undefined(f"nobody answered step {step.name}")
        case "responded":
            return step.responded
        case "failures":
            return {each: failed(why) for each, why in step.failures.items()}
        case "subtasks" if planned.central:
            return dispatched.statuses(step)
        case _:
            return Undefined(f"step {step.name} does not offer {name!r}")


def _of_rounds(plan: Plan, step: StepState, name: str) -> object:
    match name:
        case "result":
            return step.history[-1]
        case "iterations":
            return step.rounds
        case "converged":
            return step.converged
        case "history":
            return list(step.history)
        case "responded":
            return everybody(plan, step)
        case _:
            return Undefined(f"step {step.name} does not offer {name!r}")


def _of_items(plan: Plan, step: StepState, name: str) -> object:
    items = step.items or []
    completed = [each for each in items if each.status == "completed"]
    match name:
        case "results":
            return [each.value for each in completed]
        case "by_key":
            return {each.key: each.value for each in completed}
        case "completed" | "failed":
            return [each.key for each in items if each.status == name]
        case "skipped":
            return [each.key for each in items if each.status == "open"]
        case "summary":
            return item_counts(step)
        case "items":
            return [
                {
                    "key": each.key,
                    "item": each.item,
                    "status": "skipped" if each.status == "open" else each.status,
                    "result": each.value,
                    "error": failure(each.failure),
                }
                for each in items
            ]
        case "responded":
            return everybody(plan, step)
        case _:
            return Undefined(f"step {step.name} does not offer {name!r}")


def item_counts(step: StepState) -> dict[str, Json]:
    """How many items of a foreach step there are, and what became of them."""
    items = step.items or []
    completed = sum(each.status == "completed" for each in items)
    failed_ = sum(each.status == "failed" for each in items)
    skipped = len(items) - completed - failed_
    return {"total": len(items), "completed": completed, "failed": failed_, "skipped": skipped}


def everybody(plan: Plan, step: StepState) -> list[str]:
    """All organizations whose answers the value of a step was computed from, in the federation's order.

    Of a repeat step that goes on without those who drop out: those who are left.
    """
    cohorts = [set(names) for _, names in step.carried]
    planned = plan.step(step.name)
    shrinks = isinstance(planned, RepeatPlan) and planned.cohort == "shrink"
    found: set[str] = set.intersection(*cohorts) if shrinks and cohorts else set().union(*cohorts)
    return [name for name in plan.directory.organizations if name in found]


def _hidden(step: StepState) -> Undefined:
    return Undefined(f"this user may not see whom the central function of step {step.name} asked")


def failed(given: Failure | None) -> dict[str, Json]:
    """An organization's failure, as `.failures[name]` and JSON documents show it."""
    if given is None:
        return {"status": "failed", "message": "", "log_tail": ""}
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
