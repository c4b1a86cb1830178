"""What a journal must guarantee."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.core.execution.events import Event


class Journal(Protocol):
    """The append-only record of one run's events, written by one process at a time."""

    def append(self, events: Sequence[Event], *, durable: bool) -> None:
        """Add events, all or none of them, in this order.

        When this returns they survive the end of this process however it ends, and with `durable` the loss of
        power too. Raises NoSpaceError when there is no space, JournalError when it cannot be written otherwise; then
        none of these events has been added.
        """

    def events(self) -> Iterator[Event]:
        """All events from the first on. Raises JournalError if what is kept is not what was written."""

    def keep(self, body: bytes) -> str:
        """Keep a log or another large thing; returns its digest. It survives as a durable event does."""

    def fetch(self, digest: str) -> bytes:
        """What was kept. Raises JournalError if it is gone or is not what was kept."""

    def close(self) -> None:
        """Let go of it; nothing is lost."""
