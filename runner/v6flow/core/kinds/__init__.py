"""The kinds of steps: one file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from v6flow.core.kinds import foreach, gate, local, repeat, task, workflow
from v6flow.core.kinds.foreach import ForeachPlan, ForeachStep
from v6flow.core.kinds.gate import GatePlan, GateStep
from v6flow.core.kinds.local import LocalPlan, LocalStep
from v6flow.core.kinds.repeat import RepeatPlan, RepeatStep
from v6flow.core.kinds.task import TaskPlan, TaskStep
from v6flow.core.kinds.workflow import WorkflowPlan, WorkflowStep
from v6flow.core.roles import roles_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.kinds.base import StepKind

__all__ = [
    "BUILT_IN",
    "STEP_KINDS",
    "ForeachPlan",
    "ForeachStep",
    "GatePlan",
    "GateStep",
    "LocalPlan",
    "LocalStep",
    "RepeatPlan",
    "RepeatStep",
    "StepPlan",
    "TaskPlan",
    "TaskStep",
    "WorkflowPlan",
    "WorkflowStep",
    "register",
    "schema_with_kinds",
]

StepPlan: TypeAlias = TaskPlan | LocalPlan | RepeatPlan | ForeachPlan | WorkflowPlan | GatePlan

STEP_KINDS: dict[str, StepKind] = {
    each.key: each for each in (task.KIND, local.KIND, repeat.KIND, foreach.KIND, workflow.KIND, gate.KIND)
}
"""Each kind by the key that names it: the built-in ones, and those that were registered since."""

BUILT_IN = frozenset(STEP_KINDS)


def register(kind: StepKind) -> None:
    """Have workflows use a kind that another package brings, from the next one on that is read.

    Raises ValueError if its key is taken, and TypeError if a field of its plans has no role.
    """
    if STEP_KINDS.get(kind.key, kind) is not kind:
        raise ValueError(f"there is a kind of step `{kind.key}` already")
    roles_of(kind.plan_type)
    STEP_KINDS[kind.key] = kind


def schema_with_kinds(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of workflows, which has the kinds that are built in, with the fragments of those registered since."""
    step = schema["$defs"]["step"]
    more = {key: kind.schema for key, kind in STEP_KINDS.items() if key not in BUILT_IN}
    whole = {
        **step,
        "oneOf": [*step["oneOf"], *({"required": [key]} for key in more)],
        "properties": {**step["properties"], **{key: {"$ref": f"#/$defs/{key}"} for key in more}},
    }
    return {**schema, "$defs": {**schema["$defs"], **more, "step": whole}}
