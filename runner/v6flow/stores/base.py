"""What a store of runs must guarantee."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from v6flow.errors import HeldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from v6flow.core.execution.events import Event


class Journal(Protocol):
    """The append-only record of one run's events, written by one process at a time."""

    def append(self, events: Sequence[Event], *, durable: bool) -> None:
        """Add events, all or none of them, in this order.

        When this returns they survive the end of this process however it ends, and with `durable` the loss of
        power too. Raises NoSpaceError when there is no space, HeldError when the lease was lost meanwhile, JournalError
        when it cannot be written otherwise; then none of these events has been added.
        """

    def events(self) -> Iterator[Event]:
        """All events from the first on. Raises JournalError if what is kept is not what was written."""

    def keep(self, body: bytes) -> str:
        """Keep a log or another large thing; returns its digest. It survives as a durable event does."""

    def fetch(self, digest: str) -> bytes:
        """The bytes kept under a digest. Raises JournalError if they are gone or changed."""

    def close(self) -> None:
        """Close it, as often as one likes; nothing is lost."""


class Holder(Struct, frozen=True):
    """A process that holds a run; `pid` is None if it is not known (it runs in another container, say).

    `command` is the program and its first argument; the rest of a command line may be private. `stopped` is False where
    a store cannot see it.
    """

    pid: int | None
    command: str = ""
    host: str = ""
    stopped: bool = False

    def __str__(self) -> str:
        if self.pid is None:
            where = f" on {self.host}" if self.host and self.host != os.uname().nodename else ""
            return f"a process that is not known{where}"
        return f"process {self.pid} ({self.command})" if self.command else f"process {self.pid}"

    def error(self, run: str) -> HeldError:
        """The error for another process that wants the run."""
        if self.stopped:
            message = f"the run {run} is held by {self}, which is stopped (pid {self.pid})"
            hint = f"continue it with `kill -CONT {self.pid}`, or end it with `kill -KILL {self.pid}`"
            return HeldError(message, hint=hint)
        hint = (
            "wait until it has ended" if self.pid is None else f"wait until it has ended, or end it: `kill {self.pid}`"
        )
        return HeldError(f"the run {run} is held by {self}", hint=hint)


class Lease(Protocol):
    """That this process alone works on a run.

    It lasts until it is released or its process ends, however that ends; from then on another process can take it. A
    store whose leases expire renews them by itself while the process lives, and refuses appends under a lost one.
    """

    def release(self) -> None:
        """Let others work on the run; a second time does nothing."""


class CancelRequest(Struct, frozen=True):
    """A request to cancel a run: who asked, when (seconds since 1970 UTC; 0: not recorded), and from where."""

    by: str = ""
    at: float = 0.0
    via: str = ""


class DecisionRequest(Struct, frozen=True):
    """What a person decided at a gate, which had `asked` at a time (seconds since 1970 UTC)."""

    step: str
    asked: float
    decision: str
    by: str
    comment: str
    via: str = ""


Request: TypeAlias = CancelRequest | DecisionRequest


class Requests(Protocol):
    """What other processes ask of the one that holds a run. There is one request to cancel, and one decision a gate."""

    def post(self, request: Request) -> Holder | None:
        """Keep a request, durably, in place of an earlier one of its kind, and wake the process that holds the run.

        Returns that process; None if none holds the run, so that the request waits for the next one. Raises UsageError
        if it cannot be kept or the holder cannot be woken, NoSpaceError, JournalError if the holder cannot be found.
        """

    def pending(self) -> list[Request]:
        """The requests that are kept, the one to cancel first. A decision that cannot be read is left out, while a
        damaged request to cancel is still one. Raises JournalError if it cannot be read whether there is one.
        """

    def forget(self, request: Request) -> None:
        """Remove the request of this kind (of this gate), if there is one."""

    def listen(self, heard: Callable[[], None]) -> AbstractContextManager[None]:
        """While the context lasts, call `heard` soon after each `post`; in any thread, or between two instructions of
        the main thread. A store may be unable to do so in threads other than the main one.
        """


class StoredRun(Protocol):
    """One run in a store."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def store(self) -> RunStore:
        """The store that it is in."""

    @property
    def place(self) -> str:
        """Where it is kept, to be shown to people."""

    @property
    def scratch(self) -> Path:
        """A folder on this machine for what a backend or a process in the background writes while it works on the run.

        It is there, is this run's alone, and stays as long as the run does on this machine.
        """

    @property
    def requests(self) -> Requests:
        """What is asked of the process that holds it."""

    def lease(self, *, command: str | None = None) -> Lease:
        """Hold this run; `command` names this process (default: the program and its first argument).

        Raises HeldError if another process holds it, UsageError if it is gone or read-only.
        """

    def holder(self) -> Holder | None:
        """The process that holds this run; None if none does. Raises JournalError if that cannot be found out."""

    def journal(self) -> Journal:
        """Its journal, to append to; only under a lease. Raises JournalError if it cannot be trusted, NoSpaceError."""

    def events(self) -> Iterator[Event]:
        """What has happened so far, whoever holds the run. Raises JournalError."""

    def fetch(self, digest: str) -> bytes:
        """What its journal kept under a digest. Raises JournalError."""

    @property
    def over(self) -> bool:
        """Whether the run is marked as over; if it is not, only its journal shows whether it is."""

    def mark_over(self, over: bool) -> None:
        """Mark the run as over or, before it is resumed, as not. Raises UsageError, NoSpaceError."""


class RunStore(Protocol):
    """A place that keeps runs; nothing is made there before the first run is."""

    @property
    def name(self) -> str:
        """What names it on a command line, from any folder."""

    def create(self, run: str) -> StoredRun:
        """A new run, with an empty journal: there at once and whole, or not at all.

        Raises UsageError for a bad id, an id that exists, or a store that cannot be written; NoSpaceError.
        """

    def open(self, run: str) -> StoredRun:
        """The run of this id, whether or not it exists. Raises UsageError unless it is a plain name."""

    def find(self, prefix: str | None = None) -> StoredRun:
        """The run whose id is or starts with this; None: the newest. Raises UsageError for none and for several."""

    def runs(self) -> list[str]:
        """All ids, the newest first; no journal is read. Raises UsageError if they cannot be read."""

    def remove(self, run: str) -> None:
        """Remove a run and all that is kept of it. Raises HeldError if a process holds it, UsageError if it is gone."""

    def note(self, key: str, body: bytes) -> str | None:
        """Keep a small note beside the runs, in place of an earlier one; returns why it cannot be kept, None if it is.

        A key is made of lower-case letters, digits, and `/`. A note may be lost, but never be another one or a part.
        """

    def noted(self, key: str) -> bytes | None:
        """The note under a key; None if there is none that can be read."""
