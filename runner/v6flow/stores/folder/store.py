"""A folder that keeps runs, each in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.errors import UsageError
from v6flow.stores import run_ids
from v6flow.stores.folder import files
from v6flow.stores.folder.lock import RunLock, acquire, holder_of
from v6flow.stores.folder.mailbox import FolderRequests
from v6flow.stores.folder.rows import fetch, read
from v6flow.stores.folder.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Holder

_FOLDERS = ("results", "logs", "answers")  # the last one is the embedded backend's
_OVER = "over"  # a file that is there only while the run is over, so that nobody need read its journal to know


class RunFolder(Struct, frozen=True):
    """A StoredRun: its journal, its lock, its requests, and what backends write, in one folder."""

    path: Path

    @property
    def id(self) -> str:
        """See StoredRun."""
        return self.path.name

    @property
    def store(self) -> FolderStore:
        """See StoredRun."""
        return FolderStore(self.path.parent.parent)

    @property
    def place(self) -> str:
        """See StoredRun."""
        return str(self.path)

    @property
    def scratch(self) -> Path:
        """See StoredRun; names of the store's own files are taken."""
        return self.path

    @property
    def requests(self) -> FolderRequests:
        """See StoredRun."""
        return FolderRequests(self.path, self.lock_path, self.write)

    @property
    def journal_path(self) -> Path:
        """Where its journal is; `results/` and `logs/` are beside it."""
        return self.path / "journal.sqlite"

    @property
    def lock_path(self) -> Path:
        """Where its lock is."""
        return self.path / "lock"

    def lease(self, *, command: str | None = None) -> RunLock:
        """See StoredRun."""
        self._check_there()
        return acquire(self.lock_path, self.id, command=command)

    def holder(self) -> Holder | None:
        """See StoredRun."""
        return holder_of(self.lock_path)

    def journal(self) -> SqliteJournal:
        """See StoredRun."""
        return SqliteJournal.open(self.journal_path)

    def events(self) -> Iterator[Event]:
        """See StoredRun."""
        return read(self.journal_path)

    def fetch(self, digest: str) -> bytes:
        """See StoredRun."""
        return fetch(self.journal_path, digest)

    @property
    def over(self) -> bool:
        """See StoredRun."""
        return (self.path / _OVER).exists()

    def mark_over(self, over: bool) -> None:
        """See StoredRun."""
        if over:
            self.write(_OVER, b"")
        else:
            (self.path / _OVER).unlink(missing_ok=True)

    def write(self, name: str, body: bytes) -> None:
        """Put a file (0600) of the store's own in place, whole or not at all. Raises UsageError, NoSpaceError."""
        self._check_there()
        with files.writing(self.path / name, kind=UsageError):
            files.write_whole(self.path / name, body)

    def _check_there(self) -> None:
        if not self.path.is_dir():
            raise UsageError(f"the run {self.id} is gone: there is no folder {self.path}")


class FolderStore:
    """A RunStore in a folder."""

    def __init__(self, root: Path | str, *, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives nanoseconds since 1970, to tell which run is newer. Raises UsageError."""
        try:
            self.root = Path(root).absolute()
        except FileNotFoundError as error:
            raise UsageError("the current folder is gone", hint=files.STORE_HINT) from error
        self._clock = clock

    @property
    def name(self) -> str:
        """See RunStore."""
        return str(self.root)

    def create(self, run: str) -> RunFolder:
        """See RunStore."""
        folder = self.open(run)
        new = self._runs / f".new-{run}-{os.getpid()}"
        with files.writing(self.root, kind=UsageError):
            self._prepare()
            self._remove_left_over()
            if folder.path.exists():
                raise UsageError(f"there is a run {run} already in {self.root}")
            try:
                self._fill(new, run)
                new.rename(folder.path)
            except BaseException:
                import shutil

                shutil.rmtree(new, ignore_errors=True)
                raise
            files.sync_folder(self._runs)
        return folder

    def open(self, run: str) -> RunFolder:
        """See RunStore."""
        return RunFolder(self._runs / run_ids.check_id(run))

    def find(self, prefix: str | None = None) -> RunFolder:
        """See RunStore."""
        if prefix is not None and _is_folder(self.open(prefix).path):
            return self.open(prefix)
        return self.open(run_ids.choose(prefix, self.runs(), self.name))

    def runs(self) -> list[str]:
        """See RunStore."""
        try:
            with os.scandir(self._runs) as entries:
                names = [entry.name for entry in entries if _is_run(entry)]
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"the runs in {self.root} cannot be read: {error.strerror}"
            raise UsageError(message, hint=files.STORE_HINT) from error
        return sorted(names, key=lambda name: (self._created(name), name), reverse=True)

    def remove(self, run: str) -> None:
        """See RunStore; one that is stopped in the middle is completed when the next run is made."""
        import shutil

        folder = self.open(run)
        gone = self._runs / f".new-{run}-{os.getpid()}"
        with folder.lease(), files.writing(folder.path, kind=UsageError):
            folder.path.rename(gone)
            shutil.rmtree(gone)
            files.sync_folder(self._runs)

    def note(self, key: str, body: bytes) -> str | None:
        """See RunStore."""
        path = self._note_path(key)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_whole(path, body, durable=False)  # one that is lost is only not found
        except OSError as error:
            return error.strerror or str(error)
        return None

    def noted(self, key: str) -> bytes | None:
        """See RunStore."""
        try:
            return files.read_whole(self._note_path(key))
        except OSError:
            return None

    @property
    def _runs(self) -> Path:
        return self.root / "runs"

    def _note_path(self, key: str) -> Path:
        return self.root / "cache" / f"{key}.json"

    def _prepare(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._runs.mkdir(mode=0o700, exist_ok=True)
        ignore = self.root / ".gitignore"  # results are nothing to commit
        with contextlib.suppress(FileExistsError), ignore.open("x", encoding="ascii") as file:
            file.write("*\n")

    def _remove_left_over(self) -> None:
        """Remove what processes that are gone left of runs that they never finished making."""
        import shutil

        for entry in self._runs.glob(".new-*"):
            pid = entry.name.rpartition("-")[2]
            if pid.isdecimal() and not _is_alive(int(pid)):
                shutil.rmtree(entry, ignore_errors=True)

    def _fill(self, new: Path, run: str) -> None:
        new.mkdir(mode=0o700)
        for name in _FOLDERS:
            (new / name).mkdir(mode=0o700)
        files.write_whole(new / "created", f"{self._clock()}\n".encode("ascii"))
        SqliteJournal.create(new / "journal.sqlite", run).close()
        files.sync_folder(new)

    def _created(self, name: str) -> int:
        """When a run was made, in nanoseconds since 1970: as noted, else by its id, else 0."""
        with contextlib.suppress(OSError, ValueError):
            return int(files.read_whole(self._runs / name / "created"))
        return int(run_ids.time_of(name) or 0) * 10**9


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is somebody else's
    return True


def _is_run(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
