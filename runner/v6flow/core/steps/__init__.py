"""The kinds of steps: one file and one line each."""

from __future__ import annotations

from typing import Any, TypeAlias

from v6flow.core.steps import local, task
from v6flow.core.steps.local import LocalPlan, LocalStep
from v6flow.core.steps.task import TaskPlan, TaskStep

__all__ = ["STEP_KINDS", "LocalPlan", "LocalStep", "Step", "StepPlan", "TaskPlan", "TaskStep"]

Step: TypeAlias = TaskStep | LocalStep
StepPlan: TypeAlias = TaskPlan | LocalPlan

STEP_KINDS: dict[str, Any] = {task.KEY: task, local.KEY: local}
"""Each kind's module (see base.Kind) by the key that names it."""
