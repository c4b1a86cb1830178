"""A `gate` step: the run waits there until a person has approved or rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.kinds.base import STEPS, Common, Field, StepKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.kinds.base import Defaults

KEY = "gate"

_OFFERS = frozenset({"status", "error", "result"})
_NOT_BESIDE = ("timeout", "retry", "cache", "output_schema")


@dataclass(frozen=True, slots=True)
class GateStep:
    """What the file says; nobody among the approvers: anybody may decide. `misplaced` are keys that do not fit."""

    common: Common
    message: Template
    approvers: tuple[str, ...] = ()
    misplaced: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return KEY


@dataclass(frozen=True, slots=True)
class GatePlan:
    """A gate as it will be asked; its message may depend on other steps."""

    common: Common
    message: Template
    approvers: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return KEY


class GateKind(StepKind):
    """The kind `gate`."""

    key = KEY
    summary = "a person's approval, for which the run waits"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> GateStep:
        """The gate of a mapping that is sound by the schema; defaults are for task steps only."""
        gate = raw["gate"]
        misplaced = tuple(key for key in _NOT_BESIDE if key in raw)
        return GateStep(common, expressions.compile(gate["message"]), tuple(gate.get("approvers", ())), misplaced)

    def fields(self, step: GateStep) -> Iterator[Field]:
        yield Field((*step.common.at, "gate", "message"), step.message, STEPS)

    def needed(self, step: GateStep) -> Iterator[Template]:
        yield step.message

    def offers(self, _step: GateStep) -> frozenset[str]:
        return _OFFERS

    def check(self, step: GateStep, complain: Callable[..., None]) -> None:
        for key in step.misplaced:
            complain(
                (key,), f"{key} is not for a gate, which waits for a person", "wrong-modifier", hint=f"leave {key} out"
            )
        if step.common.final:
            complain((), "a run that ends waits for nobody: a gate cannot stand under `finally`", "wrong-modifier")

    def plan(self, step: GateStep) -> GatePlan:
        """The plan of a gate."""
        return GatePlan(step.common, step.message, step.approvers)


KIND = GateKind()
