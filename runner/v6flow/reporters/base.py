"""The interface of reporters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan


class Reporter(Protocol):
    """Reports the progress of a run to people. It changes nothing; its exceptions do not stop the run."""

    def begin(self, plan: Plan, state: RunState) -> None:
        """A run starts or resumes."""

    def event(self, event: Event, state: RunState) -> None:
        """An event was written to the journal and applied to the state."""

    def end(self, state: RunState) -> None:
        """The run is over or released."""


class Silent:
    """Reports nothing."""

    def begin(self, plan: Plan, state: RunState) -> None:
        pass

    def event(self, event: Event, state: RunState) -> None:
        pass

    def end(self, state: RunState) -> None:
        pass
