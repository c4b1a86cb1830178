"""A store in the tables of one database, with leases that expire: what a database server could offer, and no more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow.core.execution.codec import decode, encode
from v6flow.errors import HeldError, JournalError, UsageError
from v6flow.stores import run_ids
from v6flow.stores.base import CancelRequest, Holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (seq INTEGER PRIMARY KEY, run TEXT UNIQUE, over INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, run TEXT, kind TEXT, data TEXT, value TEXT);
CREATE TABLE IF NOT EXISTS bodies (run TEXT, digest TEXT, body BLOB, PRIMARY KEY (run, digest));
CREATE TABLE IF NOT EXISTS leases (run TEXT PRIMARY KEY, token TEXT, pid INTEGER, command TEXT, host TEXT, until REAL);
CREATE TABLE IF NOT EXISTS requests (run TEXT, subject TEXT, body BLOB, PRIMARY KEY (run, subject));
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, body BLOB);
"""
LASTS = 60.0  # seconds that a lease lasts unless it is renewed; nothing here runs for as long
LOOK = 0.02  # seconds between looks for requests


class TableStore:
    """A RunStore in a SQLite file; `clock` gives seconds."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self.file = Path(name).absolute()
        self.name = f"table:{self.file}"
        self.clock = clock

    def do(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a statement, in a transaction of its own; none where there is no file."""
        if not self.file.exists():
            return []
        with self.transaction() as database:
            return database.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone on the database."""
        database = sqlite3.connect(self.file, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()

    def create(self, run: str) -> TableRun:
        run_ids.check_id(run)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            database.executescript(_SCHEMA)
        try:
            self.do("INSERT INTO runs (run) VALUES (?)", run)
        except sqlite3.IntegrityError:
            raise UsageError(f"there is a run {run} already in {self.name}") from None
        return self.open(run)

    def open(self, run: str) -> TableRun:
        return TableRun(self, run_ids.check_id(run))

    def find(self, prefix: str | None = None) -> TableRun:
        return self.open(run_ids.choose(prefix, self.runs(), self.name))

    def runs(self) -> list[str]:
        return [run for (run,) in self.do("SELECT run FROM runs ORDER BY seq DESC")]

    def remove(self, run: str) -> None:
        self.open(run).lease()
        for table in ("runs", "events", "bodies", "leases", "requests"):
            self.do(f"DELETE FROM {table} WHERE run = ?", run)

    def note(self, key: str, body: bytes) -> str | None:
        self.do("INSERT OR REPLACE INTO notes VALUES (?, ?)", key, body)
        return None

    def noted(self, key: str) -> bytes | None:
        return next((bytes(body) for (body,) in self.do("SELECT body FROM notes WHERE key = ?", key)), None)


class TableRun:
    """A StoredRun; its journal is open under the lease that was taken of this object."""

    def __init__(self, store: TableStore, run: str) -> None:
        self.store = store
        self.id = run
        self.token = ""

    @property
    def place(self) -> str:
        return f"{self.store.name}/{self.id}"

    @property
    def scratch(self) -> Path:
        folder = self.store.file.parent / "scratch" / self.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def requests(self) -> TableRequests:
        return TableRequests(self)

    def lease(self, *, command: str | None = None) -> TableRun:
        token = uuid.uuid4().hex
        if self.id not in self.store.runs():
            raise UsageError(f"the run {self.id} is gone from {self.store.name}")
        with self.store.transaction() as database:
            now = self.store.clock()
            database.execute("DELETE FROM leases WHERE run = ? AND until < ?", (self.id, now))
            database.execute(
                "INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?, ?, ?)",
                (self.id, token, os.getpid(), command or "", os.uname().nodename, now + LASTS),
            )
            ((holder,),) = database.execute("SELECT token FROM leases WHERE run = ?", (self.id,)).fetchall()
        if holder != token:
            raise (self.holder() or Holder(None)).error(self.id)
        self.token = token
        return self

    def release(self) -> None:
        self.store.do("DELETE FROM leases WHERE run = ? AND token = ?", self.id, self.token)

    def holder(self) -> Holder | None:
        now = self.store.clock()
        found = self.store.do("SELECT pid, command, host FROM leases WHERE run = ? AND until >= ?", self.id, now)
        return Holder(*found[0]) if found else None

    def journal(self) -> TableRun:
        return self

    def append(self, events: Sequence[Event], *, durable: bool) -> None:
        rows = [(self.id, kind, json.dumps(data), json.dumps(value)) for kind, data, value in map(encode, events)]
        with self.store.transaction() as database:
            held = "SELECT 1 FROM leases WHERE run = ? AND token = ? AND until >= ?"
            if not database.execute(held, (self.id, self.token, self.store.clock())).fetchall():
                raise HeldError(f"the run {self.id} is held by nobody any more")
            database.executemany("INSERT INTO events (run, kind, data, value) VALUES (?, ?, ?, ?)", rows)

    def events(self) -> Iterator[Event]:
        rows = self.store.do("SELECT kind, data, value FROM events WHERE run = ? ORDER BY seq", self.id)
        return (decode(kind, json.loads(data), json.loads(value)) for kind, data, value in rows)

    def keep(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        self.store.do("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)", self.id, digest, body)
        return digest

    def fetch(self, digest: str) -> bytes:
        for (body,) in self.store.do("SELECT body FROM bodies WHERE run = ? AND digest = ?", self.id, digest):
            return bytes(body)
        raise JournalError(f"{digest!r} is not the digest of anything in the store")

    def close(self) -> None:
        """Nothing is open between two calls."""

    @property
    def over(self) -> bool:
        return self.store.do("SELECT over FROM runs WHERE run = ?", self.id) == [(1,)]

    def mark_over(self, over: bool) -> None:
        self.store.do("UPDATE runs SET over = ? WHERE run = ?", int(over), self.id)


class TableRequests:
    """The Requests of a run; who listens looks again and again."""

    def __init__(self, run: TableRun) -> None:
        self._run = run
        self._do = run.store.do

    def post(self, request: Request) -> Holder | None:
        row = self._run.id, _subject(request), pickle.dumps(request)
        self._do("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", *row)
        return self._run.holder()

    def pending(self) -> list[Request]:
        return [pickle.loads(body) for _, body in self._rows()]

    def forget(self, request: Request) -> None:
        self._do("DELETE FROM requests WHERE run = ? AND subject = ?", self._run.id, _subject(request))

    @contextlib.contextmanager
    def listen(self, heard: Callable[[], None]) -> Iterator[None]:
        ended, seen = threading.Event(), self._rows()

        def look() -> None:
            nonlocal seen
            while not ended.wait(LOOK):
                before, seen = seen, self._rows()
                if seen != before:
                    heard()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _rows(self) -> list[Any]:
        return self._do("SELECT subject, body FROM requests WHERE run = ? ORDER BY subject", self._run.id)


def _subject(request: Request) -> str:
    return "" if isinstance(request, CancelRequest) else request.step
