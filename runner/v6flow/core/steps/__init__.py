"""The kinds of steps: one file and one line each."""

from __future__ import annotations

from typing import Any, TypeAlias

from v6flow.core.steps import gate, local, task
from v6flow.core.steps.gate import GatePlan, GateStep
from v6flow.core.steps.local import LocalPlan, LocalStep
from v6flow.core.steps.task import TaskPlan, TaskStep

__all__ = ["STEP_KINDS", "GatePlan", "GateStep", "LocalPlan", "LocalStep", "Step", "StepPlan", "TaskPlan", "TaskStep"]

Step: TypeAlias = TaskStep | LocalStep | GateStep
StepPlan: TypeAlias = TaskPlan | LocalPlan | GatePlan

STEP_KINDS: dict[str, Any] = {task.KEY: task, local.KEY: local, gate.KEY: gate}
"""Each kind's module (see base.Kind) by the key that names it."""
