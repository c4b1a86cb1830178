"""Runs that live as long as their process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from v6flow.core.execution.codec import decode, encode
from v6flow.errors import JournalError, UsageError
from v6flow.stores import run_ids
from v6flow.stores.base import CancelRequest, Holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from tempfile import TemporaryDirectory

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Request


class MemoryJournal:
    """A Journal for tests, and for runs of which nothing is to stay.

    Events are held as text, as on disk: what is given back is equal, not the same; nobody changes the past.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._kept: dict[str, bytes] = {}

    def append(self, events: Sequence[Event], *, durable: bool) -> None:  # noqa: ARG002  memory knows no difference
        """See Journal."""
        self._rows += [json.dumps(encode(event)) for event in events]

    def events(self) -> Iterator[Event]:
        """See Journal."""
        return (decode(*json.loads(row)) for row in tuple(self._rows))

    def keep(self, body: bytes) -> str:
        """See Journal."""
        digest = hashlib.sha256(body).hexdigest()
        self._kept[digest] = bytes(body)
        return digest

    def fetch(self, digest: str) -> bytes:
        """See Journal."""
        try:
            return self._kept[digest]
        except KeyError:
            raise JournalError(f"{digest!r} is not the digest of anything in the store") from None

    def close(self) -> None:
        """See Journal; it can still be read."""


class MemoryRequests:
    """The Requests of a run that another thread may hold."""

    def __init__(self, run: MemoryRun) -> None:
        self._run = run
        self._posted: dict[str, Request] = {}  # by the gate's name; the request to cancel has none
        self._listening: list[Callable[[], None]] = []

    def post(self, request: Request) -> Holder | None:
        """See Requests."""
        self._posted[_subject(request)] = request
        for heard in tuple(self._listening):
            heard()
        return self._run.holder()

    def pending(self) -> list[Request]:
        """See Requests."""
        return [self._posted[each] for each in sorted(self._posted)]

    def forget(self, request: Request) -> None:
        """See Requests."""
        self._posted.pop(_subject(request), None)

    @contextlib.contextmanager
    def listen(self, heard: Callable[[], None]) -> Iterator[None]:
        """See Requests."""
        self._listening.append(heard)
        try:
            yield
        finally:
            self._listening.remove(heard)


class MemoryLease:
    """A Lease of the thread that took it: it ends with that thread, at the latest."""

    def __init__(self, command: str) -> None:
        self.holder = Holder(os.getpid(), command, os.uname().nodename)
        self._thread: threading.Thread | None = threading.current_thread()

    @property
    def lasts(self) -> bool:
        """Whether it is neither released nor left by a thread that ended."""
        return self._thread is not None and self._thread.is_alive()

    def release(self) -> None:
        """See Lease."""
        self._thread = None


class MemoryRun:
    """A StoredRun of a MemoryStore."""

    def __init__(self, store: MemoryStore, run: str) -> None:
        self.id = run
        self.store = store
        self.over = False
        self.requests = MemoryRequests(self)
        self._journal = MemoryJournal()
        self._lease: MemoryLease | None = None
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """See StoredRun."""
        return f"{self.store.name}/{self.id}"

    @property
    def scratch(self) -> Path:
        """See StoredRun; it goes with the store."""
        return Path(self._scratch.name)

    @cached_property
    def _scratch(self) -> TemporaryDirectory[str]:
        from tempfile import TemporaryDirectory  # costs time, and seldom used

        return TemporaryDirectory(prefix="v6flow-")

    def lease(self, *, command: str | None = None) -> MemoryLease:
        """See StoredRun."""
        with self._lock:
            self.store.check_there(self)
            holder = self.holder()
            if holder is not None:
                raise holder.error(self.id)
            self._lease = MemoryLease(command or "")
            return self._lease

    def holder(self) -> Holder | None:
        """See StoredRun."""
        lease = self._lease
        return lease.holder if lease is not None and lease.lasts else None

    def journal(self) -> MemoryJournal:
        """See StoredRun."""
        return self._journal

    def events(self) -> Iterator[Event]:
        """See StoredRun."""
        return self._journal.events()

    def fetch(self, digest: str) -> bytes:
        """See StoredRun."""
        return self._journal.fetch(digest)

    def mark_over(self, over: bool) -> None:
        """See StoredRun."""
        self.over = over


class MemoryStore:
    """A RunStore of this process."""

    _shared: ClassVar[dict[str, MemoryStore]] = {}

    def __init__(self, name: str = "") -> None:
        self.name = f"memory:{name}"
        self._runs: dict[str, MemoryRun] = {}
        self._notes: dict[str, bytes] = {}

    @classmethod
    def shared(cls, name: str) -> MemoryStore:
        """The store of this name in this process."""
        return cls._shared.setdefault(name, cls(name))

    def create(self, run: str) -> MemoryRun:
        """See RunStore."""
        made = MemoryRun(self, run_ids.check_id(run))
        if self._runs.setdefault(run, made) is not made:
            raise UsageError(f"there is a run {run} already in {self.name}")
        return made

    def open(self, run: str) -> MemoryRun:
        """See RunStore."""
        return self._runs.get(run_ids.check_id(run)) or MemoryRun(self, run)

    def find(self, prefix: str | None = None) -> MemoryRun:
        """See RunStore."""
        return self._runs[run_ids.choose(prefix, self.runs(), self.name)]

    def runs(self) -> list[str]:
        """See RunStore."""
        return list(self._runs)[::-1]

    def remove(self, run: str) -> None:
        """See RunStore."""
        lease = self.open(run).lease()
        del self._runs[run]
        lease.release()

    def note(self, key: str, body: bytes) -> None:
        """See RunStore; there is always space."""
        self._notes[key] = body

    def noted(self, key: str) -> bytes | None:
        """See RunStore."""
        return self._notes.get(key)

    def check_there(self, run: MemoryRun) -> None:
        """Raise UsageError if a run was removed, or never made."""
        if self._runs.get(run.id) is not run:
            raise UsageError(f"the run {run.id} is gone from {self.name}")


def _subject(request: Request) -> str:
    return "" if isinstance(request, CancelRequest) else request.step
