"""What a reporter is told while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan


class Reporter(Protocol):
    """Tells people of a run. It never changes anything; what it raises does not stop the run."""

    def begin(self, plan: Plan, state: RunState) -> None:
        """A run begins, or is taken up again."""

    def event(self, event: Event, state: RunState) -> None:
        """An event was journalled and applied to the state."""

    def end(self, state: RunState) -> None:
        """The run is over or let go of."""


class Silent:
    """Tells nothing."""

    def begin(self, plan: Plan, state: RunState) -> None:
        pass

    def event(self, event: Event, state: RunState) -> None:
        pass

    def end(self, state: RunState) -> None:
        pass
