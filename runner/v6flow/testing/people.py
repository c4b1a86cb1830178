"""People's decisions at gates in a test, at times on the virtual clock."""

from __future__ import annotations

import queue
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.backends.fixtures import StandstillError, addresses
from v6flow.core.execution.events import GateAsked
from v6flow.core.language import units
from v6flow.reporters.base import Silent
from v6flow.stores.base import DecisionRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.backends.fixtures import VirtualTime
    from v6flow.backends.fixtures.addresses import Keys
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.state import RunState

ANYBODY = "tester"
"""The default person at a gate without approvers."""

NOBODY = "no_decision"
WORDS = {"approve": "approved", "reject": "rejected"}
"""The decisions in test files, and their words in a journal."""


class Decision(Struct, frozen=True):
    """A decision some seconds after the gate has asked; without a name, its first approver decides."""

    decision: str
    by: str | None = None
    comment: str = ""
    after: float = 0.0


class Decisions:
    """The decisions of some tables, looked up like answers."""

    def __init__(self, *tables: Mapping[str, Any]) -> None:
        self._tables = tables

    def find(self, step: str, keys: Keys = addresses.no_keys) -> Decision | None:
        """The decision at a gate, None if nobody decides. Raises AmbiguousAddressError if it is given twice."""
        for raw in addresses.find(self._tables, step, keys, lambda entry: entry):
            return parse(raw)
        return None


def parse(raw: Any) -> Decision | None:
    """A decision from a file that fits the schema; None for `no_decision`."""
    said: dict[str, Any] = raw if isinstance(raw, dict) else {"decision": raw}
    if said["decision"] == NOBODY:
        return None
    after = units.seconds(said["after"]) if "after" in said else 0.0
    return Decision(WORDS[said["decision"]], said.get("by"), said.get("comment", ""), after)


class People(Silent):
    """A reporter that decides at gates as the test says, at the given times.

    `tell` receives the decisions while an engine is running.
    """

    def __init__(self, decisions: Decisions, time: VirtualTime, keys: Keys) -> None:
        self.tell: Callable[[DecisionRequest], None] | None = None
        self._decisions = decisions
        self._time = time
        self._keys = keys
        self._heard: queue.SimpleQueue[DecisionRequest] = queue.SimpleQueue()

    def event(self, event: Event, state: RunState) -> None:  # noqa: ARG002  a gate's question says it all
        """See Reporter."""
        if isinstance(event, GateAsked):  # looked up when time advances: exceptions of a reporter are ignored
            self._time.later(0.0, partial(self._think, event))

    def wait(self) -> list[DecisionRequest]:
        """The next decisions while nothing else runs; empty if nobody decides. Raises AmbiguousAddressError."""
        try:
            found = [self._time.wait(self._heard, None)]
        except StandstillError:
            return []
        while not self._heard.empty():
            found.append(self._heard.get_nowait())
        return found

    def _think(self, asked: GateAsked) -> None:
        given = self._decisions.find(asked.step, self._keys)
        if given is not None:
            by = given.by or next(iter(asked.approvers), ANYBODY)
            decided = DecisionRequest(asked.step, asked.at, given.decision, by, given.comment)
            self._time.later(given.after, partial(self._decide, decided))

    def _decide(self, decided: DecisionRequest) -> None:
        (self.tell or self._heard.put)(decided)
