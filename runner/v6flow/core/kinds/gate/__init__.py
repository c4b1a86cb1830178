"""A `gate` step: the run waits there until a person has approved or rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions
from v6flow.core.kinds.base import StepKind
from v6flow.core.kinds.fields import STEPS, Field
from v6flow.core.language.model import Planned, Step
from v6flow.core.roles import fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.tracing import Mixing, Tracing
    from v6flow.core.language.model import Common
    from v6flow.core.roles import Roles

KEY = "gate"

_NOT_BESIDE = ("timeout", "retry", "cache", "output_schema")


class GateStep(Step, Struct, frozen=True):
    """What the file says; nobody among the approvers: anybody may decide. `misplaced` are keys that do not fit."""

    kind: ClassVar[str] = KEY
    common: Common
    message: Template
    approvers: tuple[str, ...] = ()
    misplaced: tuple[str, ...] = ()


class GatePlan(Planned, Struct, frozen=True):
    """A gate as it will be asked; its message may depend on other steps."""

    kind: ClassVar[str] = KEY
    ROLES: ClassVar[Roles] = {
        "message": fixed(shown=True),
        "approvers": fixed(shown=True),
    }
    common: Common
    message: Template
    approvers: tuple[str, ...] = ()


class GateKind(StepKind):
    """The kind `gate`."""

    key = KEY
    plan_type = GatePlan
    summary = "a person's approval, for which the run waits"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> GateStep:
        """The gate of a mapping that is sound by the schema; defaults are for task steps only."""
        gate = raw["gate"]
        misplaced = tuple(key for key in _NOT_BESIDE if key in raw)
        return GateStep(common, expressions.compile(gate["message"]), tuple(gate.get("approvers", ())), misplaced)

    def fields(self, step: GateStep) -> Iterator[Field]:
        yield Field((*step.common.at, "gate", "message"), step.message, STEPS)

    def check(self, step: GateStep, complain: Callable[..., None]) -> None:
        for key in step.misplaced:
            complain(
                (key,), f"{key} is not for a gate, which waits for a person", "wrong-modifier", hint=f"leave {key} out"
            )
        if step.common.final:
            complain((), "a run that ends waits for nobody: a gate cannot stand under `finally`", "wrong-modifier")

    def approvers(self, step: GateStep) -> tuple[str, ...]:
        return step.approvers

    def trace(self, step: GateStep, tracing: Tracing) -> None:
        """Its message goes to people only, and it offers what they have decided."""

    def cohorts(self, step: GateStep, mixing: Mixing) -> None:
        """What people decide carries no cohort."""

    def plan(self, step: GateStep, _planning: Planning) -> GatePlan:
        return GatePlan(step.common, step.message, step.approvers)


KIND = GateKind()
