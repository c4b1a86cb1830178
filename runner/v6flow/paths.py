"""Checks and reads files that people name: regular files only, and only within the root folder if one is set."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from v6flow.core.patterns import pattern
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Named: TypeAlias = str | os.PathLike[str]

_CHUNK = 1 << 20  # bytes
_INHERITED = pattern(r"/dev/stdin|/dev/fd/[0-9]+|/proc/self/fd/[0-9]+")
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_bound: ContextVar[str | None] = ContextVar("bound", default=None)


class OutsideError(UsageError):
    """A file is outside the folder that may be read (exit 2)."""

    kind = "outside"


@contextmanager
def within(root: Named | None) -> Iterator[None]:
    """Within this context, nothing outside `root` is read or inspected; None: no limit.

    Links are resolved first. Raises UsageError if there is no such folder.
    """
    real: str | None = None
    if root is not None:
        try:
            real = os.path.realpath(root) if is_folder(root) else None
        except OSError:  # the current folder is gone
            real = None
        if real is None:
            raise UsageError(f"there is no folder {os.fspath(root)}", hint="name the folder that may be read")
    token = _bound.set(real)
    try:
        yield
    finally:
        _bound.reset(token)


def bounded() -> bool:
    """Whether reading is limited to a folder, because untrusted files are being checked."""
    return _bound.get() is not None


def check(path: Named) -> None:
    """Check that a path is within the root folder, if one is set. Raises OutsideError."""
    root = _bound.get()
    if root is None:
        return
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError):
        real = ""
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise OutsideError(
            f"{os.path.normpath(path)} is outside {root}, the folder that may be read",
            hint="name a file in that folder; --root DIR sets another one",
        )


def expand(path: Named) -> Path:
    """A path with `~` and `~user` replaced; an unknown user's path is unchanged."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_file(path: Named) -> bool:
    """Whether there is a regular file; False if it cannot be inspected. Raises OutsideError."""
    return obstacle(path) is None


def is_folder(path: Named) -> bool:
    """Whether there is a folder; False if it cannot be inspected. Raises OutsideError."""
    return obstacle(path) == "it is a folder"


def obstacle(path: Named) -> str | None:
    """The reason why a path cannot be read as a regular file, such as `it is a FIFO`; None if it can.

    Raises OutsideError.
    """
    check(path)
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "it is not there"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except ValueError:  # a NUL, or half a surrogate pair
        return "no file can have this name"
    return _special(mode)


def readable(path: Named) -> bool:
    """Whether there is a regular file or a folder. Raises OutsideError."""
    return obstacle(path) in (None, "it is a folder")


def read(path: Named, limit: int | None = None, *, inherited: bool = False) -> bytes:
    """The bytes of a regular file, at most `limit`. Never waits for a FIFO or a device.

    `inherited` allows a pipe that the shell has opened for this process: `/dev/stdin`, and `/dev/fd/63` of `<(…)`.
    Raises OSError with a sentence as its `strerror`, and OutsideError.
    """
    descriptor = _open(path, inherited=inherited)
    try:
        read_, left = [], limit
        while left is None or left > 0:
            chunk = os.read(descriptor, _CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                break
            read_.append(chunk)
            left = None if left is None else left - len(chunk)
        return b"".join(read_)
    finally:
        os.close(descriptor)


def chunks(path: Named) -> Iterator[bytes]:
    """The bytes of a regular file, in chunks (see `read`)."""
    descriptor = _open(path, inherited=False)
    try:
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk
    finally:
        os.close(descriptor)


def _open(path: Named, *, inherited: bool) -> int:
    if inherited and _INHERITED.fullmatch(os.fspath(path)) and not bounded():
        return _open_inherited(path)
    check(path)
    try:
        _refuse_special(Path(path).stat().st_mode)  # before it is opened: opening alone can affect a device
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have this name") from error
    try:
        _refuse_special(os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_inherited(path: Named) -> int:
    """A descriptor that the shell has opened for this process, if it is a pipe or a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISFIFO(mode):
        try:
            _refuse_special(mode)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def _refuse_special(mode: int) -> None:
    if (what := _special(mode)) is not None:
        raise OSError(errno.EINVAL, what)


def _special(mode: int) -> str | None:
    """The kind of a file that is not regular."""
    if stat.S_ISREG(mode):
        return None
    return f"it is {next((what for fits, what in _SPECIAL if fits(mode)), 'no regular file')}"


def entries(folder: Named) -> list[Path]:
    """The entries of a folder, sorted; empty if it cannot be read. Raises OutsideError."""
    check(folder)
    try:
        return sorted(Path(folder).iterdir())
    except (OSError, ValueError):
        return []


def write_new(path: Named, text: str) -> None:
    """Write a text to a new file that only its owner can read (0600). Raises OSError, also if the file exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have this name") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
