"""What the rounds, the items and the files in a step come to: how it begins, what each leaves, how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from v6flow.core.execution import cohorts, events, judge, scope
from v6flow.core.execution.rendering import Lacking, Unfit, mapping, short
from v6flow.core.expressions import ExpressionError
from v6flow.core.kinds import foreach
from v6flow.core.language import schema
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.core.execution.completion import Completion
    from v6flow.core.execution.events import Event, Failure, Time
    from v6flow.core.execution.rendering import Renderer
    from v6flow.core.execution.state import Cohort, RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds import ForeachPlan, RepeatPlan, StepPlan, WorkflowPlan
    from v6flow.core.planning.plan import Plan


class Nesting:
    """The events of steps with steps in them, by the plan and the state of a run; `begin_…` raise Lacking and Unfit."""

    def __init__(self, plan: Plan, state: RunState, renderer: Renderer, completion: Completion) -> None:
        self._plan = plan
        self._state = state
        self._renderer = renderer
        self._completion = completion

    def begin_rounds(self, name: str, step: RepeatPlan, now: Time) -> list[Event]:
        """The events of a repeat step that begins: the state of its first round."""
        uses = scope.Uses()
        first = self._renderer.render(step.state, uses, ids.prefix(name))
        mixed = self._renderer.mixture(step, uses)
        return [
            events.StepStarted(now, name, (), None, uses.cohorts()),
            events.RoundEnded(now, name, 0, first, cohorts.distinct(uses.cohorts()), mixed),
        ]

    def begin_items(self, name: str, step: ForeachPlan, now: Time) -> list[Event]:
        """The events of a foreach step that begins: what its items are."""
        uses = scope.Uses()
        prefix = ids.prefix(name)
        over = self._renderer.render(step.over, uses, prefix) if step.over is not None else None
        matrix = self._renderer.render(step.matrix, uses, prefix) if step.matrix is not None else None
        mixed = self._renderer.mixture(step, uses)
        try:
            listed = foreach.items(over, matrix)
        except ValueError as error:
            raise Unfit("expression", str(error)) from error
        if step.key is not None:
            listed = self._keyed(name, step, listed)
        value: list[list[Json]] = [[key, item] for key, item in listed]
        return [
            events.StepStarted(now, name, (), None, uses.cohorts()),
            events.ItemsListed(now, name, value, cohorts.distinct(uses.cohorts()), mixed),
        ]

    def begin_file(self, name: str, step: WorkflowPlan, now: Time) -> list[Event]:
        """The events of a workflow step that begins: the params of the other file."""
        uses = scope.Uses()
        given = dict(mapping(self._renderer.render(step.params, uses, ids.prefix(name))))
        mixed = self._renderer.mixture(step, uses)
        for param in step.inner.params.values():
            if param.name not in given:
                given[param.name] = param.schema.get("default")
            problems = schema.param_problems(param.name, param.schema, given[param.name])
            if problems:
                raise Unfit("param", f"{step.file}: {problems[0]}")
        return [
            events.StepStarted(now, name, (), None, uses.cohorts()),
            events.ParamsGiven(now, name, given, cohorts.distinct(uses.cohorts()), mixed),
        ]

    def end_round(self, name: str, step: RepeatPlan, number: int, inside: Sequence[str], now: Time) -> Event:
        """The event of a round of which nothing is open: the state that it leaves, or how the step fails by it."""
        failure = self._failure_inside(inside)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        try:
            return self._round(name, step, number, now)
        except Lacking as error:
            if self._is_outside(name, error.step):
                return skipped(self._state, name, error.step, now)
            failure = events.Failure("skipped", f"round {number}: {error}", name)
        except Unfit as error:
            failure = events.Failure(error.kind, f"round {number}: {error.message}", name, hint=error.hint)
        return events.StepFailed(now, name, failure)

    def end_rounds(self, name: str, step: RepeatPlan, state: StepState, now: Time) -> Event:
        """The event of a repeat step that has no more rounds."""
        if state.converged or step.on_max == "continue":
            completed = events.StepCompleted(now, name, None, state.carried, state.accepted)
            if step.cohort != "fixed" and cohorts.difference(state.carried) is not None:
                completed = replace(completed, mixed_cohorts=f"cohort: {step.cohort}")
            if step.until is not None and not state.converged:
                completed = replace(completed, exhausted=state.rounds)
            return self._completion.approved(completed)
        counted = "1 round" if state.rounds == 1 else f"{state.rounds} rounds"
        message = f"after {counted}, the most there may be, it has not converged"
        hint = (
            "look at the state after each iteration: raise max if it still comes closer; if it does not, correct the "
            "steps, the update or until"
        )
        return events.StepFailed(now, name, events.Failure("max", message, name, hint=hint))

    def end_item(self, name: str, step: ForeachPlan, number: int, inside: Sequence[str], now: Time) -> Event:
        """The event of an item of which nothing is open."""
        failure = self._failure_inside(inside)
        if failure is not None:
            return events.ItemEnded(now, name, number, failure=failure)
        uses = scope.Uses()
        value: Json = None
        try:
            if step.result is not None:
                value = self._renderer.render(step.result, uses, ids.inside(name, number))
            mixed = self._renderer.mixture(step, uses)
        except Lacking as error:
            lacked = error.step if self._is_outside(name, error.step) else name
            return events.ItemEnded(now, name, number, failure=events.Failure("skipped", str(error), lacked))
        except Unfit as error:
            return events.ItemEnded(now, name, number, failure=error.failure(name))
        return events.ItemEnded(now, name, number, value, cohorts.distinct(uses.cohorts()), mixed)

    def end_items(self, name: str, step: ForeachPlan, state: StepState, now: Time) -> Event:
        """The event of a foreach step of which no item is at work, or will be."""
        listed = state.items or []
        failed = [each for each in listed if each.status == "failed"]
        if failed and step.on_item_failure == "fail":
            first = failed[0]
            assert first.failure is not None
            if first.failure.kind == "skipped" and self._is_outside(name, first.failure.step or name):
                return skipped(self._state, name, first.failure.step or name, now)
            counted = f"{len(failed)} of {len(listed)} failed"
            failure = replace(first.failure, message=f"item {first.key}: {first.failure.message} ({counted})")
            return events.StepFailed(now, name, failure)
        made = [(state.carried, state.accepted), *((each.carried, each.accepted) for each in listed)]
        carried = cohorts.distinct(each for some, _ in made for each in some)
        accepted = [{frozenset(names) for _, names in some} for some, accepted in made if accepted]
        return self._completed(step, events.StepCompleted(now, name, None, carried), accepted)

    def end_file(self, name: str, step: WorkflowPlan, inside: Sequence[str], now: Time) -> Event:
        """The event of a workflow step of which nothing is open."""
        failure = self._failure_inside(inside)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        try:
            values, carried, accepted, reasons = self._outputs(step, ids.inside(name, 0))
        except (Lacking, Unfit) as error:
            kind, hint = (error.kind, error.hint) if isinstance(error, Unfit) else ("skipped", None)
            failure = events.Failure(kind, f"{step.file}: {error}", name, hint=hint)
            return events.StepFailed(now, name, failure)
        completed = events.StepCompleted(now, name, values, carried, mixed_cohorts="; ".join(reasons) or None)
        return self._completed(step, completed, accepted)

    def _round(self, name: str, step: RepeatPlan, number: int, now: Time) -> Event:
        prefix = ids.inside(name, number)
        uses = scope.Uses()
        following = self._renderer.render(step.update, uses, prefix)
        mixed = self._renderer.mixture(step, uses)
        converged = False
        if step.until is not None:
            found = self._renderer.render(step.until, scope.Uses(), prefix, following=following)
            if not isinstance(found, bool):
                raise Unfit("expression", f"until is true or false, not {short(found)}")
            converged = found
        return events.RoundEnded(now, name, number, following, cohorts.distinct(uses.cohorts()), mixed, converged)

    def _outputs(
        self, step: WorkflowPlan, prefix: str
    ) -> tuple[dict[str, Json], tuple[Cohort, ...], list[set[frozenset[str]]], list[str]]:
        """The outputs of a file, the cohorts that they carry, which mixtures of these were accepted, and why here."""
        values: dict[str, Json] = {}
        reasons: list[str] = []
        carried: dict[Cohort, None] = {}
        accepted: list[set[frozenset[str]]] = []
        for output in step.inner.outputs.values():
            uses = scope.Uses()
            values[output.name] = self._renderer.render(output.value, uses, prefix)
            mixed = cohorts.difference(uses.cohorts(), uses.accepted())
            if mixed and output.mixed_cohorts is None:
                raise Unfit("cohorts", f"output {output.name}: {mixed}", judge.MIXED_HINT)
            carried.update(dict.fromkeys(uses.cohorts()))
            accepted += uses.accepted()
            if mixed:
                accepted.append({frozenset(names) for _, names in uses.cohorts()})
                reasons.append(f"output {output.name}: {output.mixed_cohorts}")
        return values, tuple(carried), accepted, reasons

    def _completed(self, step: StepPlan, completed: events.StepCompleted, accepted: list[set[frozenset[str]]]) -> Event:
        """The event of a step whose parts carry these cohorts, of which some mixtures were accepted."""
        mixed = cohorts.difference(completed.carried, accepted)
        if mixed and step.common.mixed_cohorts is None:
            failure = events.Failure("cohorts", mixed, step=completed.step, hint=judge.MIXED_HINT)
            return events.StepFailed(completed.at, completed.step, failure)
        return self._completion.approved(replace(completed, accepted=mixed is not None or any(accepted)))

    def _failure_inside(self, inside: Sequence[str]) -> Failure | None:
        """The first failure of steps that stand together, of those that may not fail."""
        failed = [
            state
            for state in map(self._state.step, inside)
            if state.status == "failed" and self._plan.step(state.name).common.on_failure == "fail"
        ]
        first = min(failed, key=lambda each: each.ended or 0.0, default=None)
        return first.failure if first is not None else None

    def _is_outside(self, name: str, lacked: str) -> bool:
        """Whether what a step's rounds or items lack is what the step itself lacks: nothing in it came to nothing."""
        cause = self._state.step(lacked).cause or lacked
        return not ids.is_in(cause, name)

    def _keyed(self, name: str, step: ForeachPlan, listed: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
        """The items by the keys that the step gives them."""
        assert step.key is not None
        found: dict[str, Json] = {}
        for number, (key, item) in enumerate(listed, start=1):
            around = self._renderer.names(scope.Uses(), ids.prefix(name))
            try:
                given = step.key.render(scope.of_item(around, key, number, step.alias, item))
            except ExpressionError as error:
                raise Unfit("expression", error.message, error.hint) from error
            if not isinstance(given, (str, int)) or isinstance(given, bool):
                raise Unfit("expression", f"a key is text or a whole number, not {short(given)}")
            if str(given) in found:
                raise Unfit("expression", f"two items have the key {given}")
            found[str(given)] = item
        return list(found.items())


def skipped(state: RunState, name: str, lacked: str, now: Time) -> Event:
    """The event of a step that cannot run, since one that it needs has not completed."""
    cause = state.step(lacked).cause or lacked
    reason = "failed" if state.step(cause).status == "failed" else "skipped"
    return events.StepSkipped(now, name, cause, reason)
