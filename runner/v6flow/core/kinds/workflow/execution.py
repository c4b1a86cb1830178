"""How a `workflow` step is executed: the steps of another file, with params in and outputs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import cohorts, events, nesting
from v6flow.core.execution.commands import Record
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid, mapping
from v6flow.core.execution.steps import StepExecution
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.language import schema
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.execution.frontier import Inside
    from v6flow.core.execution.standing import Cohort
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.workflow import WorkflowPlan
    from v6flow.core.planning.plan import Plan


class ParamsView:
    """`params` in the expressions of another file: what the step that runs it has given."""

    __slots__ = ("_step", "_uses")

    def __init__(self, step: StepState, uses: cohorts.Uses) -> None:
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


class WorkflowExecution(StepExecution):
    """The kind `workflow`, as it is executed."""

    nests = True

    def begin(self, run: Execution, step: WorkflowPlan, name: str, now: Time) -> list[Command]:
        uses = cohorts.Uses()
        given = dict(mapping(run.render(step.params, uses, ids.prefix(name))))
        mixed = run.mixture(step, uses)
        for param in step.inner.params.values():
            if param.name not in given:
                given[param.name] = param.schema.get("default")
            problems = schema.param_problems(param.name, param.schema, given[param.name])
            if problems:
                raise StepInvalid("param", f"{step.file}: {problems[0]}")
        began = events.ParamsGiven(now, name, given, cohorts.distinct(uses.cohorts()), mixed)
        return nesting.begun(name, uses, began)

    def advance(self, run: Execution, step: WorkflowPlan, name: str, now: Time) -> list[Command]:
        return [Record(self._end(run, step, name, now)) for _ in run.frontier.settled_inside(name)]

    def resume(self, run: Execution, _step: WorkflowPlan, name: str) -> None:
        if run.state.step(name).params is None:
            run.frontier.begin(name)

    def next_level(self, _step: WorkflowPlan, state: StepState, inside: Inside) -> int | None:
        return None if state.params is None or inside.numbers else 0

    def attributes(self, plan: Plan, _step: WorkflowPlan, state: StepState) -> Mapping[str, Callable[[], object]]:
        return {"result": lambda: state.value, "responded": lambda: nesting.everybody(plan, state)}

    def add_names(self, names: dict[str, object], _step: WorkflowPlan, state: StepState, _number: int,
                  uses: cohorts.Uses, _following: object) -> None:  # fmt: skip
        """Another file sees its params, and nothing of what is around."""
        names["params"] = ParamsView(state, uses)
        names.pop("loop", None)
        names.pop("each", None)

    def _end(self, run: Execution, step: WorkflowPlan, name: str, now: Time) -> Event:
        """The event of a step in which nothing is open: with the outputs of the file, or a failure."""
        failure = nesting.failure_inside(run, name, 0)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        values: dict[str, Json] = {}
        reasons: list[str] = []
        carried: dict[Cohort, None] = {}
        accepted: list[set[frozenset[str]]] = []
        try:
            for output in step.inner.outputs.values():
                uses = cohorts.Uses()
                values[output.name] = run.render(output.value, uses, ids.inside(name, 0))
                mixed = cohorts.difference(uses.cohorts(), uses.accepted())
                if mixed and output.mixed_cohorts is None:
                    raise StepInvalid("cohorts", f"output {output.name}: {mixed}", cohorts.MIXED_HINT)
                carried.update(dict.fromkeys(uses.cohorts()))
                accepted += uses.accepted()
                if mixed:
                    accepted.append({frozenset(names) for _, names in uses.cohorts()})
                    reasons.append(f"output {output.name}: {output.mixed_cohorts}")
        except (DependencyFailed, StepInvalid) as error:
            kind, hint = (error.kind, error.hint) if isinstance(error, StepInvalid) else ("skipped", None)
            return events.StepFailed(now, name, events.Failure(kind, f"{step.file}: {error}", name, hint=hint))
        completed = events.StepCompleted(now, name, values, tuple(carried), mixed_cohorts="; ".join(reasons) or None)
        return nesting.joined(run, completed, accepted)


EXECUTION = WorkflowExecution()
