"""Files that are written whole or not at all, and stay."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
from typing import TYPE_CHECKING

from v6flow.core.patterns import pattern
from v6flow.errors import JournalError, NoSpaceError, UsageError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORE_HINT = "choose a folder that can be written, with `--store FOLDER` or V6FLOW_STORE"
SPACE_HINT = "make space on that disk, then repeat the command"
BACKUP_HINT = "restore the whole folder of the run from a backup"

# To a writer, a process's file size limit and a failing disk are as a full disk: the same way out.
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_DIGEST = pattern(r"[0-9a-f]{64}")


def sync(descriptor: int) -> None:
    """Wait until what was written to a descriptor survives the loss of power. Raises OSError."""
    if sys.platform == "darwin":  # fsync there only reaches the disk's own cache
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder survive the loss of power. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, body: bytes, *, durable: bool = True) -> None:
    """Put a file (0600) in place, instead of any of that name. Raises OSError: nothing changed.

    One that is not `durable` may be empty, or not be there, after a loss of power.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            if durable:
                sync(file.fileno())
        part.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def read_whole(path: Path) -> bytes:
    """The bytes of a file that is no link. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read()


def keep(folder: Path, body: bytes) -> str:
    """Keep bytes in a folder under their digest, durably; the same bytes are kept once. Raises OSError."""
    digest = hashlib.sha256(body).hexdigest()
    path = folder / digest
    if _holds(path, body):
        sync_folder(folder)  # who wrote it may have been killed before doing so
    else:
        write_whole(path, body)
    return digest


def fetch(folder: Path, digest: str) -> bytes:
    """The bytes kept under a digest. Raises JournalError if they are gone or are others."""
    if not _DIGEST.fullmatch(digest):
        raise JournalError(f"{digest!r} is not the digest of anything in the store")
    path = folder / digest
    try:
        body = read_whole(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}", hint=BACKUP_HINT) from error
    if hashlib.sha256(body).hexdigest() != digest:
        raise JournalError(f"{path} is damaged: it is not what was written", hint=BACKUP_HINT)
    return body


def write_error(path: Path, error: OSError, *, kind: type[UsageError] = JournalError) -> V6flowError:
    """What a failed write means: NoSpaceError, or an error of the given kind."""
    message = f"{path} cannot be written: {error.strerror}"
    if error.errno in _NO_SPACE:
        return NoSpaceError(message, hint=SPACE_HINT)
    return kind(message, hint=STORE_HINT)


@contextlib.contextmanager
def writing(path: Path, *, kind: type[UsageError] = JournalError) -> Iterator[None]:
    """Turn the OSErrors of writing something into ours."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error, kind=kind) from error


def _holds(path: Path, body: bytes) -> bool:
    try:
        return path.lstat().st_size == len(body) and read_whole(path) == body
    except OSError:
        return False
