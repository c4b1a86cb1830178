"""A journal in one SQLite file per run.

Each row carries a checksum of itself and all rows before it; the number of rows and the last checksum are
written in the same transaction, and after it to the head beside the file. So changed bytes are noticed, and
an older state is too.
Rows are parsed only after their checksum fits: they are what our encoder wrote, which has no duplicate keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from v6flow.core.execution.codec import decode, encode
from v6flow.errors import JournalError, NoSpaceError
from v6flow.stores.folder import files
from v6flow.stores.folder.checkpoint import Head, HeadFile, Mark, boot_id, create_head, read_head

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from v6flow.core.execution.events import Event
    from v6flow.core.json import Json

FORMAT = 2
"""2 has, beside what 1 has, when organizations began to work, the size and the origin of answers, and who started what.

All of 1 can be read: what it lacks is not recorded. The first event that is added to a journal of 1 makes it one of 2.
"""
_READABLE = (1, FORMAT)
LARGE = 256 * 1024  # characters of JSON; above this a file is faster than a row (50 MB: 137 ms against 235)
BUSY_SECONDS = 5.0  # how long to wait for a reader or for another process that recovers the log
CLOSE_SECONDS = 1.0  # a reader that is stopped must not hold up the end of the program
_CHUNK = 1000  # rows parsed by one call: one call for each takes three times as long
_COPIES = 10  # how often to copy a journal that is written meanwhile

_SCHEMA = """
CREATE TABLE meta (run TEXT NOT NULL, events INTEGER NOT NULL, checksum TEXT NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL, value TEXT, file TEXT,
                     checksum TEXT NOT NULL);
"""
_SPACE = ("database or disk is full", "disk I/O error")
_ELSEWHERE = (
    "unable to open database file",
    "attempt to write a readonly database",
    "disk I/O error",
    "database is locked",
    "locking protocol",
)
_WRITE_HINTS = {
    "database is locked": "another process works on it: wait for that to end",
    "locking protocol": "this file system cannot lock files: choose another, with `--store FOLDER`",
}

_UNNAMEABLE = "its schema is not what was written"
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # ASCII: half surrogates survive too
Row: TypeAlias = "tuple[int, str, str, str | None, str | None, str]"
"""seq from 1, kind, data, value, file (the digest of a large value), checksum."""


class UnopenableError(JournalError):
    """SQLite cannot open a journal where it is; a copy of it may be readable."""


class SqliteJournal:
    """A Journal in a SQLite file, with `results/` and `logs/` beside it for what is large."""

    def __init__(self, path: Path, connection: sqlite3.Connection, mark: Mark, head: Head) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._mark = mark
        self._boot = boot_id()
        self._durable = head.durable
        self._head = HeadFile(path)
        self._full: bool | None = None
        (self._format,) = connection.execute("PRAGMA user_version").fetchone()

    @classmethod
    def create(cls, path: Path, run: str) -> SqliteJournal:
        """Begin the journal of a run. Raises JournalError if there is one, NoSpaceError."""
        head = Head(boot_id(), _origin(run), _origin(run))
        with files.writing(path), _writing(path):
            if path.exists():
                raise JournalError(f"there is a journal already: {path}")
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            for name in ("results", "logs"):
                (path.parent / name).mkdir(mode=0o700, exist_ok=True)
            create_head(path, head)
            connection = _connect(path, "mode=rw")
            try:
                _build(connection, run)
                return cls(path, connection, head.durable, head)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def open(cls, path: Path) -> SqliteJournal:
        """Go on with a journal, all of which is verified first, before anything of it is changed.

        Raises JournalError if it cannot be trusted or written, NoSpaceError if there is no space to open it.
        """
        rows, head = _load(path)
        mark = Mark(len(rows), rows[-1][-1]) if rows else head.durable
        with files.writing(path), _writing(path):
            connection = _connect(path, "mode=rw")
            try:
                connection.execute("BEGIN IMMEDIATE")  # if it cannot be written, say so now
                connection.execute("ROLLBACK")
                return cls(path, connection, mark, head)
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
        self._write_head(durable=durable)

    def events(self) -> Iterator[Event]:
        """See Journal."""
        with _reading(self.path):
            rows = _snapshot(self._open, self.path, self._mark)
        return _decoded(rows, self.path)

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
            self._write_head(durable=not busy)
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        self._head.close()

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
            checksum = _link(checksum, kind, data, value, file)
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

    def _write_head(self, *, durable: bool) -> None:
        if durable:
            self._durable = self._mark
        self._head.write(Head(self._boot, self._mark, self._durable))


def read(path: Path) -> Iterator[Event]:
    """All events of a journal that somebody may be writing; nothing stays open. Raises JournalError."""
    rows, _ = _load(path)
    return _decoded(rows, path)


def read_copy(path: Path) -> Iterator[Event]:
    """As `read`, from a copy: for a folder that cannot be written, with a left-over log in it."""
    _check_file(path)
    rows, _ = _load_copy(path)
    return _decoded(rows, path)


def fetch(path: Path, digest: str) -> bytes:
    """What was kept beside a journal. Raises JournalError if it is gone or is not what was kept."""
    return files.fetch(path.parent / "logs", digest)


def _load(path: Path) -> tuple[list[Row], Head]:
    _check_file(path)
    if not _has_log(path):
        # Leaves no files behind, but takes no locks: if a writer comes and spoils it, the next way decides.
        with contextlib.suppress(JournalError):
            return _load_by(path, path, "mode=ro&immutable=1")
    try:
        return _load_by(path, path, "mode=ro")
    except UnopenableError:
        return _load_copy(path)


def _load_copy(path: Path) -> tuple[list[Row], Head]:
    import tempfile

    try:
        with tempfile.TemporaryDirectory(prefix="v6flow-") as folder:
            copy = _copied(path, Path(folder))
            return _load_by(path, copy, "mode=rw")
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be read nor copied to a temporary folder: {error.strerror}",
            hint="set TMPDIR to a folder that can be written",
        ) from error


def _load_by(path: Path, file: Path, mode: str) -> tuple[list[Row], Head]:
    head = read_head(file)  # before the rows: the other way round a writer could be between the two
    with _reading(path), contextlib.closing(_connect(file, mode)) as connection:
        _check_format(connection, path)
        if head is None:
            raise JournalError(f"journal.head beside {path} is missing or damaged", hint=files.BACKUP_HINT)
        return _snapshot(connection, path, head.least(boot_id())), head


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a journal, its log and its head in a folder, made while nobody wrote."""
    import shutil

    names = ("journal.head", path.name, f"{path.name}-wal")
    for _ in range(_COPIES):
        before = _stamps(path, names)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(name), folder / name)
        if _stamps(path, names) == before:
            return folder / path.name
        for name in names:
            (folder / name).unlink(missing_ok=True)
    raise JournalError(f"the journal {path} is being written all the time", hint="try again later")


def _stamps(path: Path, names: tuple[str, ...]) -> list[tuple[int, int, int] | None]:
    return [_stamp(path.with_name(name)) for name in names]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _check_file(path: Path) -> None:
    # By stat, not by opening it: closing a descriptor drops the locks that a connection of this process has.
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise JournalError(f"the journal {path} is missing", hint=files.BACKUP_HINT) from error
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise JournalError(f"{path} is not a journal: it is not a file")
    if not os.access(path, os.R_OK):
        raise JournalError(f"the journal {path} cannot be read: permission denied")
    if size == 0:  # SQLite would take the log beside it for stale, and delete it
        raise JournalError(f"the journal {path} is empty: it was cut off", hint=files.BACKUP_HINT)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    import sqlite3

    uri = f"{path.absolute().as_uri()}?{mode}"
    # Any thread may close it; that only one at a time uses it is the engine's business.
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA fullfsync=ON")
        connection.execute("PRAGMA checkpoint_fullfsync=ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _build(connection: sqlite3.Connection, run: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise JournalError("this file system cannot hold a journal: it has no shared memory", hint=files.STORE_HINT)
    origin = _origin(run)
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (run, origin.events, origin.checksum))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file says what it is, even without its log


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise JournalError(
            f"the journal {path} is of a newer version: its format is {version}, this v6flow knows {FORMAT}",
            hint="use the v6flow that wrote it, or a newer one",
        )
    if version not in _READABLE:
        raise JournalError(f"{path} is not a journal of v6flow", hint=files.BACKUP_HINT)


def _snapshot(connection: sqlite3.Connection, path: Path, least: Mark) -> list[Row]:
    """All rows at one moment, verified; `least` is what must be among them."""
    connection.execute("BEGIN")
    try:
        metas = connection.execute("SELECT run, events, checksum FROM meta").fetchall()
        rows = connection.execute("SELECT seq, kind, data, value, file, checksum FROM events ORDER BY seq").fetchall()
    finally:
        if connection.in_transaction:
            connection.rollback()
    if len(metas) != 1:
        raise _damaged(path, "the record of its length is gone")
    run, *end = metas[0]
    checksum = _verify(rows, _origin(str(run)).checksum, path)
    if end != [len(rows), checksum]:
        raise _damaged(path, f"it holds {len(rows)} events of {end[0]}")
    _check_reached(rows, least, _origin(str(run)), path)
    return rows


def _verify(rows: list[Row], checksum: str, path: Path) -> str:
    number = 0
    try:
        for number, (seq, kind, data, value, file, recorded) in enumerate(rows, 1):
            checksum = _link(checksum, kind, data, value, file)
            if seq != number or recorded != checksum:
                raise _damaged(path, f"event {number} is not what was written")
    except TypeError as error:  # a changed byte can make a number of a text
        raise _damaged(path, f"event {number} is not what was written") from error
    return checksum


def _check_reached(rows: list[Row], least: Mark, origin: Mark, path: Path) -> None:
    if len(rows) < least.events:
        raise _damaged(path, f"it holds {len(rows)} events where {least.events} were written")
    checksum = rows[least.events - 1][-1] if least.events else origin.checksum
    if checksum != least.checksum:
        raise _damaged(path, "it and journal.head are not of the same run")


def _decoded(rows: list[Row], path: Path) -> Iterator[Event]:
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        data = json.loads(f"[{','.join([row[2] for row in chunk])}]")
        values = json.loads(f"[{','.join([row[3] or 'null' for row in chunk])}]")
        for (seq, kind, _, _, file, _), fields, value in zip(chunk, data, values, strict=True):
            held = value if file is None else json.loads(files.fetch(path.parent / "results", file))
            try:
                event = decode(kind, fields, held)
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(
                    f"event {seq} of the journal {path}, {kind}, is not known to this version of v6flow",
                    hint="use the v6flow that wrote it, or a newer one",
                ) from error
            yield event


def _origin(run: str) -> Mark:
    return Mark(0, _link("", "run", run, None, None))


def _link(previous: str, kind: str, data: str, value: str | None, file: str | None) -> str:
    body = "\0".join((previous, kind, data, value or "", file or ""))  # no NUL is in any of them
    return hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


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


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of reading into ours; told by their text, which has no codes in Python 3.10."""
    import sqlite3

    try:
        yield
    except UnicodeDecodeError as error:  # SQLite quotes what it finds, of which Python makes no message
        raise _damaged(path, _UNNAMEABLE) from error
    except sqlite3.Error as error:
        if str(error) in _ELSEWHERE:
            raise UnopenableError(f"the journal {path} cannot be read: {error}", hint=files.BACKUP_HINT) from error
        if str(error) == "file is not a database":
            raise JournalError(f"{path} is not a journal, or is damaged: {error}", hint=files.BACKUP_HINT) from error
        raise _damaged(path, str(error) or _UNNAMEABLE) from error


def _damaged(path: Path, why: str) -> JournalError:
    return JournalError(f"the journal {path} is damaged: {why}", hint=files.BACKUP_HINT)
