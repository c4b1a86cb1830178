"""The lock of a run: a file lock, which the system releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.errors import JournalError, UsageError
from v6flow.stores.base import Holder
from v6flow.stores.folder.files import BACKUP_HINT, writing

if TYPE_CHECKING:
    from collections.abc import Callable


CANCEL_SIGNAL = signal.SIGURG
"""What wakes a holder to look for a request to cancel; a process that does not expect it ignores it."""

_LOOKS = 25  # how often to look at a lock whose holder has not written its name yet
_LOOK_SECONDS = 0.01


class RunLock:
    """A Lease: a file lock, released by `release`, by leaving `with`, or by the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """See Lease."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)  # while it is held: a name in the file is that of who holds it
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(
    path: Path, run: str, *, command: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> RunLock:
    """Take the lock of a run in a file; children that are exec'd do not inherit it.

    Raises HeldError, which names who has it; JournalError if the file cannot be written.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        for _ in range(_LOOKS):
            if _try(descriptor, fcntl.LOCK_EX):
                _write_record(descriptor, command if command is not None else _command())
                return RunLock(descriptor)
            holder = _recorded(descriptor)
            if holder is not None:
                raise holder.error(run)
            sleep(_LOOK_SECONDS)  # it has not written its name yet, or only looked whether somebody has it
        raise Holder(None).error(run)
    except BaseException:
        os.close(descriptor)
        raise


def holder_of(path: Path, *, sleep: Callable[[float], None] = time.sleep) -> Holder | None:
    """Who holds the lock in a file; None if nobody does. Raises JournalError if that cannot be found out."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}", hint=BACKUP_HINT) from error
    try:
        for _ in range(_LOOKS):
            if _try(descriptor, fcntl.LOCK_SH):  # given back by the close; who wants it meanwhile looks again
                return None
            holder = _recorded(descriptor)
            if holder is not None:
                return holder
            sleep(_LOOK_SECONDS)
        return Holder(None)
    finally:
        os.close(descriptor)


def signal_holder(path: Path) -> Holder | None:
    """Wake who holds the lock in a file; returns who that is, None if nobody does.

    Only a process that has the lock now and wrote its name is signalled. Raises UsageError if it may not be.
    """
    holder = holder_of(path)
    if holder is not None and holder.pid is not None:
        try:
            os.kill(holder.pid, CANCEL_SIGNAL)
        except ProcessLookupError:
            return holder_of(path)
        except PermissionError as error:
            raise UsageError(f"{holder} belongs to another user and cannot be signalled") from error
    return holder


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise JournalError(f"this file system cannot lock files: {error.strerror}") from error
    return True


def _write_record(descriptor: int, command: str) -> None:
    _, started = _process(os.getpid()) or (False, "")
    record = {"pid": os.getpid(), "started": started, "host": os.uname().nodename, "command": command}
    with contextlib.suppress(OSError):  # on a full disk the lock is held all the same, by somebody without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode("ascii"), 0)


def _recorded(descriptor: int) -> Holder | None:
    """The process named in a lock file; None if none is (yet), or if it has ended."""
    try:
        record = json.loads(os.pread(descriptor, 65536, 0))
        pid, started, host, command = (record[key] for key in ("pid", "started", "host", "command"))
        if host != os.uname().nodename:
            return Holder(None, str(command), str(host))
        found = _process(int(pid))
    except (ValueError, KeyError, TypeError):
        return None
    if found is None or found[1] != started:
        return None
    return Holder(int(pid), str(command), str(host), stopped=found[0])


def _process(pid: int) -> tuple[bool, str] | None:
    """Whether a process is stopped, and when it started (a word that tells it from others of its number)."""
    if sys.platform != "linux":
        import psutil

        try:
            process = psutil.Process(pid)
            return process.status() == psutil.STATUS_STOPPED, str(int(process.create_time()))
        except psutil.Error:
            return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0] in (b"T", b"t"), fields[19].decode("ascii")


def _command() -> str:
    name = Path(sys.argv[0] or "python").name
    return " ".join(["v6flow" if name == "__main__.py" else name, *sys.argv[1:2]])
