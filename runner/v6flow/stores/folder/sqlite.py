"""A journal in one SQLite file per run.

Each row carries a checksum of itself and all rows before it; the number of rows and the last checksum are
written in the same transaction, and after it to the checkpoint beside the file. So changed bytes are noticed, and
an older state is too.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from v6flow.core.execution.codec import encode
from v6flow.errors import JournalError, NoSpaceError
from v6flow.stores.folder import files
from v6flow.stores.folder.checkpoint import Checkpoint, CheckpointFile, Mark, boot_id, create_checkpoint
from v6flow.stores.folder.rows import FORMAT, connect, decoded, fetch, link, load, origin, reading, snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from v6flow.core.execution.events import Event
    from v6flow.core.json import Json
    from v6flow.stores.folder.rows import Row

LARGE = 256 * 1024  # characters of JSON; above this a file is faster than a row (50 MB: 137 ms against 235)
CLOSE_SECONDS = 1.0  # a reader that is stopped must not hold up the end of the program

_SCHEMA = """
CREATE TABLE meta (run TEXT NOT NULL, events INTEGER NOT NULL, checksum TEXT NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL, value TEXT, file TEXT,
                     checksum TEXT NOT NULL);
"""
_SPACE = ("database or disk is full", "disk I/O error")
_WRITE_HINTS = {
    "database is locked": "another process works on it: wait for that to end",
    "locking protocol": "this file system cannot lock files: choose another, with `--store FOLDER`",
}

_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # ASCII: half surrogates survive too


class SqliteJournal:
    """A Journal in a SQLite file, with `results/` and `logs/` beside it for what is large."""

    def __init__(self, path: Path, connection: sqlite3.Connection, mark: Mark, checkpoint: Checkpoint) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._mark = mark
        self._boot = boot_id()
        self._durable = checkpoint.durable
        self._checkpoint = CheckpointFile(path)
        self._full: bool | None = None
        (self._format,) = connection.execute("PRAGMA user_version").fetchone()

    @classmethod
    def create(cls, path: Path, run: str) -> SqliteJournal:
        """Begin the journal of a run. Raises JournalError if there is one, NoSpaceError."""
        checkpoint = Checkpoint(boot_id(), origin(run), origin(run))
        with files.writing(path), _writing(path):
            if path.exists():
                raise JournalError(f"there is a journal already: {path}")
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            for name in ("results", "logs"):
                (path.parent / name).mkdir(mode=0o700, exist_ok=True)
            create_checkpoint(path, checkpoint)
            connection = connect(path, "mode=rw")
            try:
                _build(connection, run)
                return cls(path, connection, checkpoint.durable, checkpoint)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def open(cls, path: Path) -> SqliteJournal:
        """Go on with a journal, all of which is verified first, before anything of it is changed.

        Raises JournalError if it cannot be trusted or written, NoSpaceError if there is no space to open it.
        """
        rows, checkpoint = load(path)
        mark = Mark(len(rows), rows[-1][-1]) if rows else checkpoint.durable
        with files.writing(path), _writing(path):
            connection = connect(path, "mode=rw")
            try:
                connection.execute("BEGIN IMMEDIATE")  # if it cannot be written, say so now
                connection.execute("ROLLBACK")
                return cls(path, connection, mark, checkpoint)
            except BaseException:
                connection.close()
                raise

    def append(self, events: Sequence[Event], *, durable: bool) -> None:
        """See Journal."""
        if not events:
            return
        rows = self._rows(events)
        mark = Mark(rows[-1][0], rows[-1][-1])
        with _writing(self.path):
            self._set_durable(durable)
            self._commit(rows, mark)
        self._mark = mark
        self._write_checkpoint(durable=durable)

    def events(self) -> Iterator[Event]:
        """See Journal."""
        with reading(self.path):
            rows = snapshot(self._open, self.path, self._mark)
        return decoded(rows, self.path)

    def keep(self, body: bytes) -> str:
        """See Journal."""
        folder = self.path.parent / "logs"
        with files.writing(folder):
            return files.keep(folder, body)

    def fetch(self, digest: str) -> bytes:
        """See Journal."""
        return fetch(self.path, digest)

    def close(self) -> None:
        """See Journal; the write-ahead log goes into the file, unless there is no space or somebody reads."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        import sqlite3

        with contextlib.suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout={int(CLOSE_SECONDS * 1000)}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._write_checkpoint(durable=not busy)
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        self._checkpoint.close()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"the journal {self.path} is closed")
        return self._connection

    def _rows(self, events: Sequence[Event]) -> list[Row]:
        rows: list[Row] = []
        checksum = self._mark.checksum
        for seq, event in enumerate(events, self._mark.events + 1):
            kind, fields, held = encode(event)
            data = _dump(fields)
            value, file = (None, None) if held is None else self._stored(held)
            checksum = link(checksum, kind, data, value, file)
            rows.append((seq, kind, data, value, file, checksum))
        return rows

    def _stored(self, value: Json) -> tuple[str | None, str | None]:
        text = _dump(value)
        if len(text) <= LARGE:
            return text, None
        folder = self.path.parent / "results"
        with files.writing(folder):
            return None, files.keep(folder, text.encode("ascii"))

    def _set_durable(self, durable: bool) -> None:
        if durable != self._full:
            self._open.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._full = durable

    def _commit(self, rows: list[Row], mark: Mark) -> None:
        connection = self._open
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self._format != FORMAT:
                connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
            changed = connection.execute(
                "UPDATE meta SET events = ?, checksum = ? WHERE events = ? AND checksum = ?",
                (mark.events, mark.checksum, self._mark.events, self._mark.checksum),
            )
            if changed.rowcount != 1:
                raise JournalError(f"another process has written to the journal {self.path} meanwhile")
            connection.execute("COMMIT")
            self._format = FORMAT
        except BaseException as error:
            if connection.in_transaction:
                connection.rollback()
            if not isinstance(error, Exception):  # an interrupt, which may have come just after the commit
                self._mark = Mark(*connection.execute("SELECT events, checksum FROM meta").fetchone())
            raise

    def _write_checkpoint(self, *, durable: bool) -> None:
        if durable:
            self._durable = self._mark
        self._checkpoint.write(Checkpoint(self._boot, self._mark, self._durable))


def _build(connection: sqlite3.Connection, run: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise JournalError("this file system cannot hold a journal: it has no shared memory", hint=files.STORE_HINT)
    start = origin(run)
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (run, start.events, start.checksum))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file says what it is, even without its log


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of writing into ours."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        message = f"the journal {path} cannot be written: {error}"
        if str(error) in _SPACE:
            raise NoSpaceError(message, hint=files.SPACE_HINT) from error
        raise JournalError(message, hint=_WRITE_HINTS.get(str(error), files.STORE_HINT)) from error
