"""How a run ends in which nothing is left to do: completed with its outputs, or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import cohorts, events
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid

if TYPE_CHECKING:
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Failure, Time
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


def outcome(run: Execution, now: Time) -> events.RunEnding:
    """How a run ends in which no step is left to do."""

    def failed(failure: Failure) -> events.RunEnding:
        return events.RunEnding(now, "failed", {}, failure, 1)

    failure = first_failure(run.plan, run.state)
    if failure is not None:
        return failed(failure)
    outputs: dict[str, Json] = {}
    accepted: dict[str, str] = {}
    for output in run.plan.workflow.outputs.values():
        uses = cohorts.Uses()
        try:
            outputs[output.name] = run.render(output.value, uses, "")
        except DependencyFailed as error:
            return failed(_lacking_output(run.state, output.name, error.step))
        except StepInvalid as error:
            return failed(events.Failure(error.kind, f"output {output.name}: {error.message}", hint=error.hint))
        mixed = cohorts.difference(uses.cohorts(), uses.accepted())
        if mixed and output.mixed_cohorts is None:
            hint = "write the output as {value: …, mixed_cohorts: <reason>} if that is meant"
            return failed(events.Failure("cohorts", f"output {output.name}: {mixed}", hint=hint))
        if mixed and output.mixed_cohorts is not None:
            accepted[output.name] = output.mixed_cohorts
    return events.RunEnding(now, "completed", outputs, mixed_cohorts=accepted or None)


def first_failure(plan: Plan, state: RunState) -> Failure | None:
    """The failure that ends the run: the earliest of the steps that may not fail. None if there is none."""
    failed = [
        each
        for each in state.steps.values()
        if each.status == "failed"
        and each.failure is not None
        and each.name in plan.steps  # it may have been taken out of the file since; what is nested fails its step
        and plan.steps[each.name].common.on_failure == "fail"
        and not plan.steps[each.name].common.final
    ]
    first = min(failed, key=lambda each: each.ended or 0.0, default=None)
    return first.failure if first is not None else None


def _lacking_output(state: RunState, output: str, step: str) -> Failure:
    cause = state.step(step).cause or step
    failure = state.step(cause).failure
    if failure is None:
        why = f"step {cause} was left out, since its `when` does not hold"
        message = f"output {output} needs step {step}: {why}"
        return events.Failure("skipped", message, step, hint="write default(…) around what may be missing")
    message = f"output {output} needs step {step}: {failure.message}"
    return events.Failure(failure.kind, message, cause, failure.organization, failure.hint, failure.log_tail)
