"""The rows of a journal in a SQLite file: read, verified and decoded, whoever may be writing them.

Rows are parsed only after their checksum fits: they are what our encoder wrote, which has no duplicate keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from v6flow.core.execution.codec import decode
from v6flow.errors import JournalError
from v6flow.stores.folder import files
from v6flow.stores.folder.checkpoint import Checkpoint, Mark, boot_id, read_checkpoint

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from v6flow.core.execution.events import Event

FORMAT = 2
"""2 has, beside what 1 has, when organizations began to work, the size and the origin of answers, and who started what.

All of 1 can be read: what it lacks is not recorded. The first event that is added to a journal of 1 makes it one of 2.
"""
_READABLE = (1, FORMAT)
BUSY_SECONDS = 5.0  # how long to wait for a reader or for another process that recovers the log
_CHUNK = 1000  # rows parsed by one call: one call for each takes three times as long
_COPIES = 10  # how often to copy a journal that is written meanwhile
_ELSEWHERE = (
    "unable to open database file",
    "attempt to write a readonly database",
    "disk I/O error",
    "database is locked",
    "locking protocol",
)
_UNNAMEABLE = "its schema is not what was written"
Row: TypeAlias = "tuple[int, str, str, str | None, str | None, str]"
"""seq from 1, kind, data, value, file (the digest of a large value), checksum."""


class UnopenableError(JournalError):
    """SQLite cannot open a journal where it is; a copy of it may be readable."""


def read(path: Path) -> Iterator[Event]:
    """All events of a journal that somebody may be writing; nothing stays open. Raises JournalError."""
    rows, _ = load(path)
    return decoded(rows, path)


def read_copy(path: Path) -> Iterator[Event]:
    """As `read`, from a copy: for a folder that cannot be written, with a left-over log in it."""
    _check_file(path)
    rows, _ = _load_copy(path)
    return decoded(rows, path)


def fetch(path: Path, digest: str) -> bytes:
    """What was kept beside a journal. Raises JournalError if it is gone or is not what was kept."""
    return files.fetch(path.parent / "logs", digest)


def load(path: Path) -> tuple[list[Row], Checkpoint]:
    _check_file(path)
    if not _has_log(path):
        # Leaves no files behind, but takes no locks: if a writer comes and spoils it, the next way decides.
        with contextlib.suppress(JournalError):
            return _load_by(path, path, "mode=ro&immutable=1")
    try:
        return _load_by(path, path, "mode=ro")
    except UnopenableError:
        return _load_copy(path)


def _load_copy(path: Path) -> tuple[list[Row], Checkpoint]:
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


def _load_by(path: Path, file: Path, mode: str) -> tuple[list[Row], Checkpoint]:
    checkpoint = read_checkpoint(file)  # before the rows: the other way iteration a writer could be between the two
    with reading(path), contextlib.closing(connect(file, mode)) as connection:
        _check_format(connection, path)
        if checkpoint is None:
            raise JournalError(f"journal.head beside {path} is missing or damaged", hint=files.BACKUP_HINT)
        return snapshot(connection, path, checkpoint.least(boot_id())), checkpoint


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a journal, its log and its checkpoint in a folder, made while nobody wrote."""
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


def connect(path: Path, mode: str) -> sqlite3.Connection:
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


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise JournalError(
            f"the journal {path} is of a newer version: its format is {version}, this v6flow knows {FORMAT}",
            hint="use the v6flow that wrote it, or a newer one",
        )
    if version not in _READABLE:
        raise JournalError(f"{path} is not a journal of v6flow", hint=files.BACKUP_HINT)


def snapshot(connection: sqlite3.Connection, path: Path, least: Mark) -> list[Row]:
    """All rows at one moment, verified; `least` is what must be among them."""
    connection.execute("BEGIN")
    try:
        metas = connection.execute("SELECT run, events, checksum FROM meta").fetchall()
        rows = connection.execute("SELECT seq, kind, data, value, file, checksum FROM events ORDER BY seq").fetchall()
    finally:
        if connection.in_transaction:
            connection.rollback()
    if len(metas) != 1:
        raise _damaged(path, "the record of its length is missing")
    run, *end = metas[0]
    checksum = _verify(rows, origin(str(run)).checksum, path)
    if end != [len(rows), checksum]:
        raise _damaged(path, f"it holds {len(rows)} events of {end[0]}")
    _check_reached(rows, least, origin(str(run)), path)
    return rows


def _verify(rows: list[Row], checksum: str, path: Path) -> str:
    number = 0
    try:
        for number, (seq, kind, data, value, file, recorded) in enumerate(rows, 1):
            checksum = link(checksum, kind, data, value, file)
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


def decoded(rows: list[Row], path: Path) -> Iterator[Event]:
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


def origin(run: str) -> Mark:
    return Mark(0, link("", "run", run, None, None))


def link(previous: str, kind: str, data: str, value: str | None, file: str | None) -> str:
    body = "\0".join((previous, kind, data, value or "", file or ""))  # no NUL is in any of them
    return hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
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
