"""A `workflow` step: another workflow file as one step, with params in and outputs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.kinds.base import STEPS, Common, Field, StepKind, misplaced
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.kinds.base import Defaults
    from v6flow.core.language.model import Workflow

KEY = "workflow"

_OFFERS = frozenset({"status", "error", "result", "responded"})


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowStep:
    """What the file says. `inner` is the workflow of the other file, None where that could not be read."""

    common: Common
    file: str
    params: Template
    inner: Workflow | None = None
    misplaced: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return KEY


@dataclass(frozen=True, slots=True)
class WorkflowPlan:
    """A workflow step; the steps of the other file stand among the plan's, under its own name."""

    common: Common
    file: str
    params: Template
    inner: Workflow

    @property
    def kind(self) -> str:
        return KEY


def _has_gates(workflow: Workflow) -> bool:
    """Whether a person has to decide in a workflow, or in those that it runs."""
    return any(step.kind == "gate" for step in workflow.steps.values()) or any(
        _has_gates(inner) for _, inner in workflow.called()
    )


class WorkflowKind(StepKind):
    """The kind `workflow`."""

    key = KEY
    summary = "another workflow file as one step"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> WorkflowStep:
        """The workflow step of a mapping that is sound by the schema, without the other file."""
        called = raw["workflow"]
        return WorkflowStep(
            common, called["file"], expressions.compile(called.get("params", {})), misplaced=misplaced(raw)
        )

    def fields(self, step: WorkflowStep) -> Iterator[Field]:
        yield Field((*step.common.at, "workflow", "params"), step.params, STEPS)

    def needed(self, step: WorkflowStep) -> Iterator[Template]:
        yield step.params

    def offers(self, _step: WorkflowStep) -> frozenset[str]:
        return _OFFERS

    def check(self, step: WorkflowStep, complain: Callable[..., None]) -> None:
        for key in step.misplaced:
            complain((key,), f"`{key}` is for the steps inside, each by itself", "misplaced-key", hint="write it there")
        if step.inner is None:
            return
        if any(each.common.final for each in step.inner.steps.values()):
            message = f"{step.file} has steps under `finally`: they are for a file that is run by itself"
            complain(("workflow", "file"), message, "wrong-modifier")
        if step.common.final and _has_gates(step.inner):
            message = f"{step.file} has a gate: a run that ends waits for nobody"
            complain(("workflow", "file"), message, "wrong-modifier")
        given = step.params.source if isinstance(step.params.source, dict) else {}
        for name in given:
            if name not in step.inner.params:
                known = ", ".join(step.inner.params) or "none"
                complain(
                    ("workflow", "params", name),
                    f"no param {name!r}: {step.file} has {known}",
                    "unknown-param",
                    hint=suggestion(name, step.inner.params),
                )
        lacking = [name for name, param in step.inner.params.items() if param.required and name not in given]
        if lacking:
            complain(("workflow", "file"), f"{step.file} needs the param {lacking[0]}", "missing-param")


KIND = WorkflowKind()
