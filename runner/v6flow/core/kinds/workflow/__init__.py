"""A `workflow` step: another workflow file as one step, with params in and outputs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from v6flow.core import expressions
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.kinds.base import StepKind, misplaced
from v6flow.core.kinds.fields import STEPS, Field
from v6flow.core.language.model import Planned, Step
from v6flow.core.language.words import suggestion
from v6flow.core.roles import fixed, free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.tracing import Mixing, Tracing
    from v6flow.core.language.model import Common, Workflow
    from v6flow.core.roles import Roles

KEY = "workflow"

_OFFERS = frozenset({"status", "error", "result", "responded"})


class WorkflowStep(Step, Struct, frozen=True, eq=False):
    """What the file says. `inner` is the workflow of the other file, None where that could not be read."""

    kind: ClassVar[str] = KEY
    common: Common
    file: str
    params: Template
    inner: Workflow | None = None
    misplaced: tuple[str, ...] = ()


def _outputs(workflow: Workflow) -> dict[str, Any]:
    """The outputs of a workflow by name, as the file has them."""
    return {name: output.value.source for name, output in workflow.outputs.items()}


class WorkflowPlan(Planned, Struct, frozen=True):
    """A workflow step; the steps of the other file stand among the plan's, under its own name."""

    kind: ClassVar[str] = KEY
    ROLES: ClassVar[Roles] = {
        "file": free("its steps are in the plan by themselves", shown=True),
        "params": fixed(shown=True),
        "inner": fixed(part="outputs", take=_outputs),
    }
    common: Common
    file: str
    params: Template
    inner: Workflow


def _has_gates(workflow: Workflow) -> bool:
    """Whether a person has to decide in a workflow, or in those that it runs."""
    return any(step.kind == "gate" for step in workflow.steps.values()) or any(
        _has_gates(inner) for _, inner in workflow.called()
    )


class _Params:
    """Params of a file of which some are known only when its step begins: `later` says of these what gives them."""

    def __init__(self, known: Mapping[str, Json], later: Mapping[str, str], names: Iterable[str]) -> None:
        self._known = known
        self._later = later
        self._names = names

    def attribute(self, name: str) -> object:
        if name in self._known:
            return self._known[name]
        if name in self._names:
            given = f": {self._later[name]}" if name in self._later else ""
            raise NotKnownYet(f"params.{name} is known only when its step begins{given}")
        return Undefined(f"no param {name!r}")

    def names(self) -> Iterable[str]:
        return self._names


class WorkflowKind(StepKind):
    """The kind `workflow`."""

    key = KEY
    calls = True
    plan_type = WorkflowPlan
    summary = "another workflow file as one step"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> WorkflowStep:
        """The workflow step of a mapping that is sound by the schema, without the other file."""
        called = raw["workflow"]
        return WorkflowStep(
            common, called["file"], expressions.compile(called.get("params", {})), misplaced=misplaced(raw)
        )

    def fields(self, step: WorkflowStep) -> Iterator[Field]:
        yield Field((*step.common.at, "workflow", "params"), step.params, STEPS)

    def linked(self, step: WorkflowStep, files: Mapping[str, Workflow]) -> WorkflowStep:
        return replace(step, inner=files.get(step.file))

    def offers(self, _step: WorkflowStep) -> frozenset[str]:
        return _OFFERS

    def trace(self, step: WorkflowStep, tracing: Tracing) -> None:
        """A called workflow may ask any organization, so its params count as sent to all, if it asks anybody."""
        if step.inner is None:
            return
        given = tracing.flow(step.params, step.common.parent)
        if step.inner.asks_organizations():
            tracing.send(step, step.params, (*step.common.at, "workflow", "params"), None)
        tracing.note(step, tracing.call(step, step.inner, given))

    def cohorts(self, step: WorkflowStep, mixing: Mixing) -> None:
        """Of what another file yields nothing is known."""

    def plan(self, step: WorkflowStep, _planning: Planning) -> WorkflowPlan:
        assert step.inner is not None  # a file that could not be read was a problem before
        return WorkflowPlan(step.common, step.file, step.params, step.inner)

    def inner_params(self, step: WorkflowStep, planning: Planning) -> _Params:
        """The params that a file is given, as far as they are known before anything runs."""
        assert step.inner is not None
        given = step.params.source if isinstance(step.params.source, dict) else {}
        known: dict[str, Json] = {}
        later: dict[str, str] = {}
        for name, param in step.inner.params.items():
            if name not in given:
                if not param.required:
                    known[name] = param.schema["default"]
                continue
            template = expressions.compile(given[name])
            value: Json | Template
            try:
                value = planning.late(template)
            except expressions.ExpressionError:
                value = template  # a mistake fails the step, if it ever begins
            if isinstance(value, expressions.Template):
                place = planning.document.key_position((*step.common.at, "workflow", "params", name))
                said = template.source if isinstance(template.source, str) else "given"
                later[name] = f"it is {said} ({planning.document.name}, line {place.line})"
            else:
                known[name] = value
        return _Params(known, later, step.inner.params)

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
