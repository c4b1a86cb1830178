"""What depends on the kind of a step in previews, explanations and drawings: one class a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language.model import bare
from v6flow.core.views import explained, inputs

if TYPE_CHECKING:
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.kinds import (
        ForeachStep,
        GateStep,
        LocalPlan,
        LocalStep,
        RepeatStep,
        TaskPlan,
        TaskStep,
        WorkflowStep,
    )
    from v6flow.core.kinds.settings import Retry
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.explained import Explained
    from v6flow.core.views.inputs import Work
    from v6flow.core.views.known import Reading


class KindView:
    """How steps of a kind are shown; what it does not override suits a kind that is not known here."""

    def preview(self, planned: Any, reading: Reading, /) -> Work:
        """What a planned step would send or compute."""
        return inputs.of_other(planned, reading)

    def explain(
        self, _plan: Plan, _state: RunState, _step: StepState, _planned: Any, _reason: str | None, /
    ) -> Explained | None:
        """What is known of a step of its kind alone; `_reason`: why no earlier result was reused."""
        return None

    def last(self, _step: StepState, _planned: Any, /) -> int:
        """The number of the last iteration or item that is done or known; 0 for a step without such."""
        return 0

    def retry(self, _planned: Any, /) -> Retry | None:
        """How often its steps are tried; None for a kind without attempts."""
        return None

    def is_value(self, _planned: Any, /) -> bool:
        """Whether a step only computes a value, in no time."""
        return False

    def shape(self, step: Any, /) -> str:
        """The kind as a drawing shows it: `task`, `central`, `local`, `gate`, or another."""
        return str(step.kind)

    def describe(self, step: Any, /) -> list[str]:
        """What a step of a file does, a text each."""
        return [str(step.kind)]

    def file(self, _step: Any, /) -> str | None:
        """The workflow file that a step runs."""
        return None


class _Task(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_task(planned, reading)

    def retry(self, planned: TaskPlan) -> Retry:
        return planned.retry

    def explain(self, plan: Plan, state: RunState, step: StepState, planned: Any, reason: str | None) -> Explained:
        return explained.of_task(plan, state, step, planned, reason)

    def shape(self, step: TaskStep) -> str:
        return "central" if step.central is not None and step.central.source is not False else step.kind

    def describe(self, step: TaskStep) -> list[str]:
        told = [f"{self.shape(step)} {step.method.source}"]
        _, asked = step.settings.get("organizations", ((), None))
        if asked is None or not asked.literal or not isinstance(asked.source, list) or not asked.source:
            return told  # known only later
        return [*told, ", ".join(map(str, asked.source))]


class _Local(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_local(planned, reading)

    def retry(self, planned: LocalPlan) -> Retry:
        return planned.retry

    def is_value(self, planned: LocalPlan) -> bool:
        return planned.value is not None

    def explain(self, _plan: Plan, _state: RunState, step: StepState, _planned: Any, reason: str | None) -> Explained:
        return explained.ExplainedLocal(explained.reuse(step, reason))

    def describe(self, step: LocalStep) -> list[str]:
        if step.function is not None:
            return [f"local {step.function.rpartition(':')[2]}"]
        if step.command is None:
            return ["local value"]
        words = step.command.source
        return [f"local {words[0]}" if isinstance(words, list) and words else "local command"]


class _Repeat(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_repeat(planned, reading)

    def explain(self, _plan: Plan, _state: RunState, step: StepState, _planned: Any, _reason: str | None) -> Explained:
        return explained.ExplainedRepeat(step.rounds, step.converged, tuple(step.history))

    def last(self, step: StepState, planned: Any) -> int:
        return int(min(step.rounds + (step.status != "completed"), planned.max))

    def describe(self, step: RepeatStep) -> list[str]:
        return [f"repeats {step.max.source} times at most" if step.max.literal else "repeats"]


class _Foreach(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_foreach(planned, reading)

    def explain(self, _plan: Plan, _state: RunState, step: StepState, _planned: Any, _reason: str | None) -> Explained:
        return explained.ExplainedForeach(tuple(explained.Item(each.key, each.status) for each in step.items or ()))

    def last(self, step: StepState, _planned: Any) -> int:
        return len(step.items or ())

    def describe(self, step: ForeachStep) -> list[str]:
        return [f"for each {step.alias}"]


class _Workflow(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_workflow(planned, reading)

    def describe(self, step: WorkflowStep) -> list[str]:
        return [f"workflow {step.file}"]

    def file(self, step: WorkflowStep) -> str:
        return step.file


class _Gate(KindView):
    def preview(self, planned: Any, reading: Reading) -> Work:
        return inputs.of_gate(planned, reading)

    def explain(
        self, _plan: Plan, _state: RunState, step: StepState, _planned: Any, _reason: str | None
    ) -> Explained | None:
        return explained.of_gate(step)

    def describe(self, step: GateStep) -> list[str]:
        return [f"gate for {', '.join(step.approvers) or 'anybody'}"]


VIEWS: dict[str, KindView] = {
    "task": _Task(),
    "local": _Local(),
    "repeat": _Repeat(),
    "foreach": _Foreach(),
    "workflow": _Workflow(),
    "gate": _Gate(),
}
"""The view of each kind that is built in, by its key."""


def view_of(kind: str) -> KindView:
    """The view of a kind: that which is built in, else the `view` of its StepKind, else the default."""
    found = VIEWS.get(kind) or getattr(STEP_KINDS.get(kind), "view", None)
    return found if isinstance(found, KindView) else KindView()


def details(step: Any) -> list[str]:
    """What a step of a file does, whom it asks if the file names them, and under which condition: a text each."""
    condition = step.common.when
    told = [f"only if {bare(condition)}"] if condition is not None else []
    return [
        *view_of(step.kind).describe(step),
        *told,
        *(["when all else is over"] if step.common.final else []),
    ]
