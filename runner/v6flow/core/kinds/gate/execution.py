"""How a `gate` step is executed: what it asks, and what follows from what a person decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import events
from v6flow.core.execution.cohorts import Uses
from v6flow.core.execution.commands import Record
from v6flow.core.execution.steps import StepExecution
from v6flow.core.json import canonical
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso

if TYPE_CHECKING:
    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Time
    from v6flow.core.json import Json
    from v6flow.core.kinds.gate import GatePlan


class GateExecution(StepExecution):
    """The kind `gate`, as it is executed."""

    def begin(self, run: Execution, step: GatePlan, name: str, now: Time) -> list[Command]:
        message = run.render(step.message, Uses(), ids.prefix(name))
        text = message if isinstance(message, str) else canonical(message)
        return [Record(events.GateAsked(now, name, text, step.approvers))]

    def advance(self, run: Execution, _step: GatePlan, name: str, now: Time) -> list[Command]:
        """What follows from what a person has decided; nothing as long as nobody has."""
        decided = run.state.step(name).decision
        if decided is None:
            return []
        if decided.decision != "approved":
            why = f": {decided.comment}" if decided.comment else ""
            failure = events.Failure("rejected", f"{decided.by} rejected it{why}", step=name)
            return [Record(events.StepFailed(now, name, failure))]
        at = iso(decided.at)
        value: Json = {"decision": decided.decision, "by": decided.by, "at": at, "comment": decided.comment}
        return [Record(run.approved(events.StepCompleted(now, name, value)))]


EXECUTION = GateExecution()
