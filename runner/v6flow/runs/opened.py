"""A run that this process holds: its lease, its journal and its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.core.execution.state import RunState, apply, replay
from v6flow.errors import HeldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Holder, Journal, Lease, Request, StoredRun


class OpenRun(Struct):
    """A run on which nobody else can work. Close it when done."""

    stored: StoredRun
    lease: Lease
    journal: Journal
    state: RunState

    def record(self, *events: Event) -> None:
        """Write events down, durably, and apply them to the state. Raises NoSpaceError, JournalError."""
        if events:
            self.journal.append(events, durable=True)
        for event in events:
            apply(self.state, event)

    def close(self) -> None:
        """Let others work on the run."""
        try:
            self.journal.close()
        finally:
            self.lease.release()

    def __enter__(self) -> OpenRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(stored: StoredRun) -> OpenRun:
    """Hold a run and read its state.

    Raises HeldError if another process has it, JournalError if its journal cannot be trusted.
    """
    lease = stored.lease()
    try:
        journal = stored.journal()
    except BaseException:
        lease.release()
        raise
    opened = OpenRun(stored, lease, journal, RunState())
    try:
        opened.state = replay(journal.events())
    except BaseException:
        opened.close()
        raise
    return opened


def open_or_post(stored: StoredRun, request: Callable[[], Request]) -> OpenRun | Holder:
    """Hold a run or, where another process does, post it a request; returns that process then.

    Raises what `request` raises, UsageError, NoSpaceError, JournalError.
    """
    try:
        return open_run(stored)
    except HeldError:
        asked = request()
        holder = stored.requests.post(asked)
        if holder is not None:
            return holder
    opened = open_run(stored)  # it ended just now
    stored.requests.forget(asked)
    return opened
