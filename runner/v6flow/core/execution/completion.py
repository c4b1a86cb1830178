"""How steps and runs end: with all they need, or failed by what the file demands of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from v6flow.core.execution import answers, cohorts, dispatched, events, judge, scope
from v6flow.core.execution.rendering import Lacking, Unfit, evaluate, mapping
from v6flow.core.json import canonical
from v6flow.core.kinds import LocalPlan
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso

if TYPE_CHECKING:
    from v6flow.core.execution.events import Event, Failure, Time
    from v6flow.core.execution.preparation import Prepared
    from v6flow.core.execution.rendering import Renderer
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds import TaskPlan
    from v6flow.core.language.model import Common
    from v6flow.core.planning.plan import Plan

MAX_PROPERTIES = 10_000  # characters of JSON: facts that stand in every table and log, not results


class Completion:
    """Ends the steps of a run, and the run itself, by its plan and its state."""

    def __init__(self, plan: Plan, state: RunState, renderer: Renderer) -> None:
        self._plan = plan
        self._state = state
        self._renderer = renderer

    def complete(self, name: str, value: Json, uses: scope.Uses, log: str | None, now: Time) -> Event:
        """The event of a step whose value was computed here."""
        step = self._plan.step(name)
        carried = uses.cohorts()
        if not carried:
            return self.approved(events.StepCompleted(now, name, value, (), accepted=False, log=log))
        try:
            mixed = self._renderer.mixture(step, uses)
        except Unfit as error:
            return events.StepFailed(now, name, error.failure(name))
        return self.approved(events.StepCompleted(now, name, value, carried, mixed, log))

    def judge(self, step: TaskPlan, state: StepState, prepared: Prepared, now: Time) -> Event:
        """The event of a task step of which nobody is waited for any more."""
        name = state.name
        failure = judge.quorum(step, state, prepared.needed)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        own = dispatched.cohorts(state)
        try:
            mixed = self._renderer.mixture(step, prepared.uses, *own)
        except Unfit as error:
            return events.StepFailed(now, name, error.failure(name))
        carried = tuple(dict.fromkeys((*prepared.uses.cohorts(), *own)))
        return self.approved(events.StepCompleted(now, name, None, carried, mixed))

    def decided(self, name: str, now: Time) -> Event | None:
        """The event of a gate at which a person has decided; None as long as nobody has."""
        decided = self._state.step(name).decision
        if decided is None:
            return None
        if decided.decision != "approved":
            why = f": {decided.comment}" if decided.comment else ""
            failure = events.Failure("rejected", f"{decided.by} rejected it{why}", step=name)
            return events.StepFailed(now, name, failure)
        value: Json = {
            "decision": decided.decision,
            "by": decided.by,
            "at": iso(decided.at),
            "comment": decided.comment,
        }
        return self.approved(events.StepCompleted(now, name, value))

    def approved(self, completed: events.StepCompleted) -> Event:
        """The event of a step that has all it needs to complete: that one, or its failure by what the file demands."""
        name = completed.step
        step = self._plan.step(name)
        if completed.accepted and step.common.mixed_cohorts is not None:
            completed = replace(completed, mixed_cohorts=step.common.mixed_cohorts)
        if isinstance(step, LocalPlan) and step.common.output_schema is not None:
            wrong = answers.misfit(step.common.output_schema, completed.value)
            if wrong is not None:
                failure = events.Failure("output_schema", wrong, step=name)
                return events.StepFailed(completed.at, name, failure)
        for check in step.common.checks:
            if not check.each:
                wrong = check.unmet(self._names_of(completed, scope.Uses()))
                if wrong is not None:
                    return events.StepFailed(completed.at, name, events.Failure("check", wrong, step=name))
        if step.common.properties is None:
            return completed
        try:
            return self._published(completed, step.common, step.common.properties)
        except (Lacking, Unfit) as error:
            hint = error.hint if isinstance(error, Unfit) else "write default(…) around what may be missing"
            failure = events.Failure("properties", f"its properties: {error}", step=name, hint=hint)
            return events.StepFailed(completed.at, name, failure)

    def outcome(self, now: Time) -> events.RunEnding:
        """How a run ends in which no step is left to do."""

        def failed(failure: Failure) -> events.RunEnding:
            return events.RunEnding(now, "failed", {}, failure, 1)

        failure = judge.first_failure(self._plan, self._state)
        if failure is not None:
            return failed(failure)
        outputs: dict[str, Json] = {}
        accepted: dict[str, str] = {}
        for output in self._plan.workflow.outputs.values():
            uses = scope.Uses()
            try:
                outputs[output.name] = self._renderer.render(output.value, uses, "")
            except Lacking as error:
                return failed(self._lacking_output(output.name, error.step))
            except Unfit as error:
                message = f"output {output.name}: {error.message}"
                return failed(events.Failure(error.kind, message, hint=error.hint))
            mixed = cohorts.difference(uses.cohorts(), uses.accepted())
            if mixed and output.mixed_cohorts is None:
                hint = "write the output as {value: …, mixed_cohorts: <reason>} if that is meant"
                return failed(events.Failure("cohorts", f"output {output.name}: {mixed}", hint=hint))
            if mixed and output.mixed_cohorts is not None:
                accepted[output.name] = output.mixed_cohorts
        return events.RunEnding(now, "completed", outputs, mixed_cohorts=accepted or None)

    def _published(self, completed: events.StepCompleted, common: Common, properties: Template) -> Event:
        """The event of a step that has completed, with its properties, which mix no cohorts either."""
        uses = scope.Uses()
        facts = mapping(evaluate(properties, self._names_of(completed, uses), uses))
        size = len(canonical(dict(facts)))
        if size > MAX_PROPERTIES:
            told = f"they are {size} characters of JSON, and {MAX_PROPERTIES} are allowed"
            raise Unfit("properties", told, "publish facts here, and results as outputs")
        own = [{frozenset(names) for _, names in completed.carried}] if completed.accepted else []
        mixed = cohorts.difference((*completed.carried, *uses.cohorts()), [*uses.accepted(), *own])
        if mixed and common.mixed_cohorts is None:
            raise Unfit("cohorts", mixed, judge.MIXED_HINT)
        reason = common.mixed_cohorts if mixed else completed.mixed_cohorts
        return replace(completed, properties=facts, mixed_cohorts=reason)

    def _names_of(self, completed: events.StepCompleted, uses: scope.Uses) -> dict[str, object]:
        """The names in what is said of a step that is about to complete."""
        this = scope.this(self._plan, completed, self._state.step(completed.step), uses)
        prefix = ids.prefix(completed.step)
        return {**self._renderer.names(uses, prefix), "this": this}

    def _lacking_output(self, output: str, step: str) -> Failure:
        cause = self._state.step(step).cause or step
        failure = self._state.step(cause).failure
        if failure is None:
            why = f"step {cause} was left out, since its `when` does not hold"
            message = f"output {output} needs step {step}: {why}"
            hint = "write default(…) around what may be missing"
            return events.Failure("skipped", message, step, hint=hint)
        message = f"output {output} needs step {step}: {failure.message}"
        return events.Failure(failure.kind, message, cause, failure.organization, failure.hint, failure.log_tail)
