"""The kinds of steps: one file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from v6flow.core.kinds import foreach, gate, local, repeat, task, workflow
from v6flow.core.kinds.foreach import ForeachPlan, ForeachStep
from v6flow.core.kinds.gate import GatePlan, GateStep
from v6flow.core.kinds.local import LocalPlan, LocalStep
from v6flow.core.kinds.repeat import RepeatPlan, RepeatStep
from v6flow.core.kinds.task import TaskPlan, TaskStep
from v6flow.core.kinds.workflow import WorkflowPlan, WorkflowStep

if TYPE_CHECKING:
    from v6flow.core.kinds.base import StepKind

__all__ = [
    "STEP_KINDS",
    "ForeachPlan",
    "ForeachStep",
    "GatePlan",
    "GateStep",
    "LocalPlan",
    "LocalStep",
    "RepeatPlan",
    "RepeatStep",
    "Step",
    "StepPlan",
    "TaskPlan",
    "TaskStep",
    "WorkflowPlan",
    "WorkflowStep",
]

Step: TypeAlias = TaskStep | LocalStep | RepeatStep | ForeachStep | WorkflowStep | GateStep
StepPlan: TypeAlias = TaskPlan | LocalPlan | RepeatPlan | ForeachPlan | WorkflowPlan | GatePlan

STEP_KINDS: dict[str, StepKind] = {
    each.key: each for each in (task.KIND, local.KIND, repeat.KIND, foreach.KIND, workflow.KIND, gate.KIND)
}
"""Each kind by the key that names it."""
