"""How a `foreach` step is executed: as many items at once as may be, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.core.execution import cohorts, events, nesting
from v6flow.core.execution.commands import Record
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid, short
from v6flow.core.execution.failures import failure
from v6flow.core.execution.steps import StepExecution
from v6flow.core.expressions import ExpressionError, Undefined
from v6flow.core.kinds.foreach import ForeachPlan, items
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.execution.frontier import Inside
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


class ItemView:
    """`each` in an expression: the item of the innermost foreach step, and of those around it by their `as`."""

    __slots__ = ("_key", "_number", "_uses", "items")

    def __init__(self, number: int, key: str, items: dict[str, tuple[StepState, Json]], uses: cohorts.Uses) -> None:
        self._number = number
        self._key = key
        self.items = items
        self._uses = uses

    def attribute(self, name: str) -> object:
        if name == "index":
            return self._number
        if name == "key":
            return self._key
        if name not in self.items:
            return Undefined(f"each has no {name!r}")
        step, item = self.items[name]
        self._uses.carrying[step.name] = step
        return item

    def names(self) -> Iterable[str]:
        return ("index", "key", *self.items)


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


def item_counts(step: StepState) -> dict[str, Json]:
    """How many items of a foreach step there are, and what became of them."""
    items = step.items or []
    completed = sum(each.status == "completed" for each in items)
    failed = sum(each.status == "failed" for each in items)
    skipped = len(items) - completed - failed
    return {"total": len(items), "completed": completed, "failed": failed, "skipped": skipped}


class ForeachExecution(StepExecution):
    """The kind `foreach`, as it is executed."""

    nests = True

    def begin(self, run: Execution, step: ForeachPlan, name: str, now: Time) -> list[Command]:
        uses = cohorts.Uses()
        prefix = ids.prefix(name)
        over = run.render(step.over, uses, prefix) if step.over is not None else None
        matrix = run.render(step.matrix, uses, prefix) if step.matrix is not None else None
        mixed = run.mixture(step, uses)
        try:
            listed = items(over, matrix)
        except ValueError as error:
            raise StepInvalid("expression", str(error)) from error
        if step.key is not None:
            listed = self._keyed(run, step, step.key, name, listed)
        value: list[list[Json]] = [[key, item] for key, item in listed]
        began = events.ItemsListed(now, name, value, cohorts.distinct(uses.cohorts()), mixed)
        return nesting.begun(name, uses, began)

    def advance(self, run: Execution, step: ForeachPlan, name: str, now: Time) -> list[Command]:
        state = run.state.step(name)
        settled = run.frontier.settled_inside(name)
        if settled:
            return [Record(self._end_item(run, step, name, number, now)) for number in settled]
        if state.items is None or run.frontier.inside[name].numbers:
            return []
        return [Record(self._end(run, step, state, now))]

    def observe(self, run: Execution, event: Any) -> None:
        name = event.step
        if isinstance(event, events.ItemEnded):
            run.frontier.close(name, event.item)
            step = run.plan.step(name)
            assert isinstance(step, ForeachPlan)
            inside = run.frontier.inside[name]
            if event.failure is not None and step.on_item_failure == "fail":  # none begins any more
                inside.last = len(run.state.step(name).items or ())
        run.frontier.advance(name)

    def resume(self, run: Execution, _step: ForeachPlan, name: str) -> None:
        if run.state.step(name).items is None:
            run.frontier.begin(name)

    def levels_at_work(self, _step: ForeachPlan, state: StepState, run: RunState) -> Iterator[int]:
        for number, each in enumerate(state.items or (), start=1):
            if each.status == "open" and _has_begun(run, state.name, number):
                yield number

    def next_level(self, step: ForeachPlan, state: StepState, inside: Inside) -> int | None:
        """The next item, if as many may be at work; none after one has failed, where that fails the step."""
        listed = state.items or []
        if len(inside.numbers) >= step.max_parallel:
            return None
        if not inside.last and step.on_item_failure == "fail" and any(each.status == "failed" for each in listed):
            return None
        for number in range(inside.last + 1, len(listed) + 1):
            if listed[number - 1].status == "open" and number not in inside.numbers:
                return number
        return None

    def attributes(self, plan: Plan, _step: ForeachPlan, state: StepState) -> Mapping[str, Callable[[], object]]:
        listed = state.items or []

        def keys(status: str) -> list[str]:
            return [each.key for each in listed if each.status == status]

        return {
            "results": lambda: [each.value for each in listed if each.status == "completed"],
            "by_key": lambda: {each.key: each.value for each in listed if each.status == "completed"},
            "completed": lambda: keys("completed"),
            "failed": lambda: keys("failed"),
            "skipped": lambda: keys("open"),
            "summary": lambda: item_counts(state),
            "items": lambda: [
                {
                    "key": each.key,
                    "item": each.item,
                    "status": "skipped" if each.status == "open" else each.status,
                    "result": each.value,
                    "error": failure(each.failure),
                }
                for each in listed
            ],
            "responded": lambda: nesting.everybody(plan, state),
        }

    def add_names(self, names: dict[str, object], step: ForeachPlan, state: StepState, number: int, uses: cohorts.Uses,
                  _following: object) -> None:  # fmt: skip
        outer = names.get("each")
        around = dict(outer.items) if isinstance(outer, ItemView) else {}
        known = state.items[number - 1] if state.items else None
        around[step.alias] = (state, known.item if known is not None else None)
        names["each"] = ItemView(number, known.key if known is not None else "", around, uses)

    def _keyed(
        self, run: Execution, step: ForeachPlan, key: Template, name: str, listed: list[tuple[str, Json]]
    ) -> list[tuple[str, Json]]:
        """The items by the keys that the step gives them."""
        found: dict[str, Json] = {}
        for number, (before, item) in enumerate(listed, start=1):
            names = run.names(cohorts.Uses(), ids.prefix(name))
            outer = names.get("each")
            names["each"] = _Candidate(before, number, step.alias, item, outer if isinstance(outer, ItemView) else None)
            try:
                given = key.render(names)
            except ExpressionError as error:
                raise StepInvalid("expression", error.message, error.hint) from error
            if not isinstance(given, (str, int)) or isinstance(given, bool):
                raise StepInvalid("expression", f"a key is text or a whole number, not {short(given)}")
            if str(given) in found:
                raise StepInvalid("expression", f"two items have the key {given}")
            found[str(given)] = item
        return list(found.items())

    def _end_item(self, run: Execution, step: ForeachPlan, name: str, number: int, now: Time) -> Event:
        """The event of an item of which nothing is open."""
        failed = nesting.failure_inside(run, name, number)
        if failed is not None:
            return events.ItemEnded(now, name, number, failure=failed)
        uses = cohorts.Uses()
        value: Json = None
        try:
            if step.result is not None:
                value = run.render(step.result, uses, ids.inside(name, number))
            mixed = run.mixture(step, uses)
        except DependencyFailed as error:
            lacked = error.step if nesting.is_outside(run, name, error.step) else name
            return events.ItemEnded(now, name, number, failure=events.Failure("skipped", str(error), lacked))
        except StepInvalid as error:
            return events.ItemEnded(now, name, number, failure=error.failure(name))
        return events.ItemEnded(now, name, number, value, cohorts.distinct(uses.cohorts()), mixed)

    def _end(self, run: Execution, step: ForeachPlan, state: StepState, now: Time) -> Event:
        """The event of a step of which no item is at work, or will be."""
        name, listed = state.name, state.items or []
        failed = [each for each in listed if each.status == "failed"]
        if failed and step.on_item_failure == "fail":
            first = failed[0]
            assert first.failure is not None
            lacked = first.failure.step or name
            if first.failure.kind == "skipped" and nesting.is_outside(run, name, lacked):
                return run.skipped(name, lacked, now)
            counted = f"{len(failed)} of {len(listed)} failed"
            message = f"item {first.key}: {first.failure.message} ({counted})"
            return events.StepFailed(now, name, replace(first.failure, message=message))
        made = [(state.carried, state.accepted), *((each.carried, each.accepted) for each in listed)]
        carried = cohorts.distinct(each for some, _ in made for each in some)
        accepted = [{frozenset(names) for _, names in some} for some, accepted in made if accepted]
        return nesting.joined(run, events.StepCompleted(now, name, None, carried), accepted)


def _has_begun(run: RunState, name: str, number: int) -> bool:
    """Whether anything has been done in an item."""
    return any(run.steps[each].status != "pending" for each in run.inside.get(ids.inside(name, number), ()))


EXECUTION = ForeachExecution()
