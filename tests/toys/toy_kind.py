"""A `pause` step, as another package would bring it: it lets some seconds pass, in parts that it records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions
from v6flow.core.execution import events
from v6flow.core.execution.cohorts import Uses
from v6flow.core.execution.commands import Command, Record
from v6flow.core.execution.steps import StepExecution
from v6flow.core.kinds.base import Planning, StepKind
from v6flow.core.kinds.fields import STEPS, Defaults, Field
from v6flow.core.language.model import Common, Planned, Step
from v6flow.core.planning import ids
from v6flow.core.roles import Roles, fixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.execution.context import Execution
    from v6flow.core.expressions import Template


class PauseStep(Step, Struct, frozen=True):
    """What the file says."""

    kind: ClassVar[str] = "pause"
    common: Common
    parts: int
    seconds: float
    value: Template


class PausePlan(Planned, Struct, frozen=True):
    """A pause as it will be made."""

    kind: ClassVar[str] = "pause"
    ROLES: ClassVar[Roles] = {
        "parts": fixed(shown=True),
        "seconds": fixed(shown=True),
        "value": fixed(shown=True),
    }
    common: Common
    parts: int
    seconds: float
    value: Template


class PauseExecution(StepExecution):
    """Each part that has passed is recorded, so that a resumed run does not wait for it again."""

    def begin(self, run: Execution, step: PausePlan, name: str, now: float) -> list[Command]:
        uses = Uses()
        run.work[name] = (run.render(step.value, uses, ids.prefix(name)), uses)
        started = events.StepStarted(now, name, (), None, uses.cohorts())
        return [Record(started), Record(events.Progressed(now, name, 0))]

    def observe(self, run: Execution, event: Any) -> None:
        if isinstance(event, events.Progressed):
            run.frontier.touch(event.step)

    def resume(self, run: Execution, step: PausePlan, name: str) -> None:
        uses = Uses()
        run.work[name] = (run.render(step.value, uses, ids.prefix(name)), uses)
        run.frontier.touch(name)

    def advance(self, run: Execution, step: PausePlan, name: str, now: float) -> list[Command]:
        state = run.state.step(name)
        passed = state.progress if isinstance(state.progress, int) else 0
        if passed >= step.parts:
            value, uses = run.work[name]
            return [Record(run.completed(name, value, uses, None, now))]
        assert state.started is not None  # it began
        due = state.started + step.seconds * (passed + 1)
        if now >= due:
            return [Record(events.Progressed(now, name, passed + 1))]
        run.frontier.wake(name, due)
        return []


class PauseKind(StepKind):
    """The kind `pause`."""

    key = "pause"
    summary = "some seconds that pass, in parts"
    plan_type = PausePlan
    schema: ClassVar[dict[str, Any]] = {
        "description": "Some seconds that pass, in parts.",
        "type": "object",
        "additionalProperties": False,
        "required": ["parts", "seconds", "value"],
        "properties": {
            "parts": {"description": "How many parts.", "type": "integer"},
            "seconds": {"description": "How long each part is.", "type": "number"},
            "value": {"description": "What the step comes to; expressions are filled in.", "type": "string"},
        },
    }
    execution = PauseExecution()

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> PauseStep:
        pause = raw["pause"]
        return PauseStep(common, pause["parts"], pause["seconds"], expressions.compile(pause["value"]))

    def fields(self, step: PauseStep) -> Iterator[Field]:
        yield Field((*step.common.at, "pause", "value"), step.value, STEPS)

    def plan(self, step: PauseStep, _planning: Planning) -> PausePlan:
        return PausePlan(step.common, step.parts, step.seconds, step.value)


KIND = PauseKind()
