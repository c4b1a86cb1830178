"""The folder that holds the runs, each in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
import unicodedata
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.core.language.words import suggestion
from v6flow.errors import JournalError, UsageError
from v6flow.stores.folder import files
from v6flow.stores.folder.lock import Holder, RunLock, acquire, holder_of, signal_holder
from v6flow.stores.folder.sqlite import SqliteJournal, fetch, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from v6flow.core.execution.events import Event

MAX_NAME = 128  # with what SQLite appends, well below what file systems take
MAX_SLUG = 60
_LISTED = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIME = re.compile(r"-(\d{8}-\d{4})-[a-z0-9]+$")
_FOLDERS = ("results", "logs", "answers")
_OVER = "over"  # a file that is there only while the run is over, so that nobody need read its journal to know
_DECISION = "decision-"  # and the gate's name: what a person has told who works on the run
_OURS = {"lock", "cancel", "created", _OVER, *_FOLDERS}  # and what starts with `journal.`


def store_folder(given: str | None) -> Path:
    """Where runs are kept: as given, else V6FLOW_STORE, else `.v6flow` in the current folder; absolute."""
    name = given or os.environ.get("V6FLOW_STORE") or ".v6flow"
    try:
        return Path(name).absolute()
    except FileNotFoundError as error:
        raise UsageError("the current folder is gone", hint=files.STORE_HINT) from error


def run_id(workflow: str, at: float, random4: str) -> str:
    """An id such as `average-20261121-0523-k3f9`; `at` is in seconds since 1970 UTC."""
    if not re.fullmatch(r"[a-z0-9]{4}", random4):
        raise ValueError(f"four lower-case letters or digits are needed, not {random4!r}")
    plain = unicodedata.normalize("NFKD", workflow).encode("ascii", "ignore").decode("ascii").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG].strip("-") or "run"
    return f"{slug}-{datetime.fromtimestamp(at, timezone.utc):%Y%m%d-%H%M}-{random4}"


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """That a run be cancelled: who asked, when (seconds since 1970 UTC), and from where (see `actor`)."""

    by: str
    at: float
    via: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """What a person decided at a gate that asked at a time (seconds since 1970 UTC)."""

    step: str
    asked: float
    decision: str
    by: str
    comment: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """What one run keeps: its journal, its lock, its answers, and small files."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def store(self) -> Path:
        """The folder of the store that it is in."""
        return self.path.parent.parent

    def beside(self, run: str) -> RunFolder:
        """The folder of another run of the store. Raises UsageError unless it is named by a plain name."""
        return RunFolder(self.path.parent / check_id(run))

    @property
    def journal_path(self) -> Path:
        """Where its journal is; `results/` and `logs/` are beside it."""
        return self.path / "journal.sqlite"

    @property
    def answers(self) -> Path:
        """Where an embedded backend keeps what was answered."""
        return self.path / "answers"

    def journal(self) -> SqliteJournal:
        """Its journal, to go on with; only for who holds the lock. Raises JournalError, NoSpaceError."""
        return SqliteJournal.open(self.journal_path)

    def events(self) -> Iterator[Event]:
        """What has happened so far, whoever holds it. Raises JournalError."""
        return read(self.journal_path)

    def fetch(self, digest: str) -> bytes:
        """What its journal kept under a digest. Raises JournalError."""
        return fetch(self.journal_path, digest)

    def lock(self, *, command: str | None = None) -> RunLock:
        """Hold this run. Raises HeldError if another process does, UsageError if it is gone or read-only."""
        self._check_there()
        return acquire(self.path / "lock", f"the run {self.id}", command=command)

    def holder(self) -> Holder | None:
        """The process that holds this run; None if none does. Raises JournalError if that cannot be told."""
        return holder_of(self.path / "lock")

    def signal_holder(self) -> Holder | None:
        """Wake the process that holds this run, with CANCEL_SIGNAL; returns it, None if none does."""
        return signal_holder(self.path / "lock")

    def request_cancel(self, request: CancelRequest) -> None:
        """Ask, durably, that this run be cancelled. Raises NoSpaceError, UsageError."""
        self._write("cancel", json.dumps(asdict(request)).encode("ascii"))

    def cancel_requested(self) -> CancelRequest | None:
        """The request to cancel this run, if there is one. Raises JournalError if that cannot be told."""
        try:
            body = files.read_whole(self.path / "cancel")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{self.path / 'cancel'} cannot be read: {error.strerror}") from error
        try:
            request = json.loads(body)
            return CancelRequest(str(request["by"]), float(request["at"]), str(request.get("via", "")))
        except (ValueError, KeyError, TypeError):
            return CancelRequest("", 0.0)  # damaged, but somebody did ask

    def request_decision(self, request: DecisionRequest) -> None:
        """Tell, durably, who works on this run what a person decided at a gate. Raises NoSpaceError, UsageError."""
        self._write(f"{_DECISION}{request.step}", json.dumps(asdict(request)).encode("ascii"))

    def decisions(self) -> list[DecisionRequest]:
        """What was requested so; a file that cannot be read says nothing."""
        found = []
        for path in sorted(self.path.glob(f"{_DECISION}*")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(DecisionRequest(**json.loads(files.read_whole(path))))
        return found

    def forget_decision(self, step: str) -> None:
        """Take back what `request_decision` told."""
        (self.path / f"{_DECISION}{step}").unlink(missing_ok=True)

    def forget_cancel(self) -> None:
        """Take back what `request_cancel` asked."""
        (self.path / "cancel").unlink(missing_ok=True)

    @property
    def over(self) -> bool:
        """Whether the run is known to be over; if not, its journal tells."""
        return (self.path / _OVER).exists()

    def mark_over(self, over: bool) -> None:
        """Note that the run is over, or, before it is taken up again, that it no longer is."""
        if over:
            self._write(_OVER, b"")
        else:
            (self.path / _OVER).unlink(missing_ok=True)

    def write(self, name: str, body: bytes) -> None:
        """Put a file (0600) in the run's folder, whole or not at all. Raises UsageError, NoSpaceError."""
        self._write(_check_file_name(name), body)

    def read(self, name: str) -> bytes:
        """A file of the run's folder. Raises UsageError for a bad name, JournalError if it is not there."""
        path = self.path / _check_file_name(name)
        try:
            return files.read_whole(path)
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror}", hint=files.BACKUP_HINT) from error

    def _write(self, name: str, body: bytes) -> None:
        self._check_there()
        with files.writing(self.path / name, kind=UsageError):
            files.write_whole(self.path / name, body)

    def _check_there(self) -> None:
        if not self.path.is_dir():
            raise UsageError(f"the run {self.id} is gone: there is no folder {self.path}")


class Store:
    """All runs in a folder; nothing is made there before the first run is."""

    def __init__(self, root: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives nanoseconds since 1970, to tell which run is newer."""
        self.root = root.absolute()
        self._clock = clock

    def create(self, run_id: str) -> RunFolder:
        """Make the folder of a new run, with an empty journal: there at once and whole, or not at all.

        Raises UsageError for a bad id, an id that exists, or a folder that cannot be written; NoSpaceError.
        """
        check_id(run_id)
        folder = RunFolder(self._runs / run_id)
        new = self._runs / f".new-{run_id}-{os.getpid()}"
        with files.writing(self.root, kind=UsageError):
            self._prepare()
            self._remove_left_over()
            if folder.path.exists():
                raise UsageError(f"there is a run {run_id} already in {self.root}")
            try:
                self._fill(new, run_id)
                new.rename(folder.path)
            except BaseException:
                import shutil

                shutil.rmtree(new, ignore_errors=True)
                raise
            files.sync_folder(self._runs)
        return folder

    def runs(self) -> list[str]:
        """All ids, newest first; no journal is opened. Raises UsageError if the folder cannot be read."""
        try:
            with os.scandir(self._runs) as entries:
                names = [entry.name for entry in entries if _is_run(entry)]
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"the runs in {self.root} cannot be read: {error.strerror}"
            raise UsageError(message, hint=files.STORE_HINT) from error
        return sorted(names, key=lambda name: (self._created(name), name), reverse=True)

    def find(self, prefix: str | None = None) -> RunFolder:
        """The run whose id starts like this, or the newest. Raises UsageError for none and for several."""
        if prefix is not None and _is_folder(self._runs / check_id(prefix)):
            return RunFolder(self._runs / prefix)
        names = self.runs()
        if not names:
            raise UsageError(f"no runs in {self.root}", hint="look elsewhere with `--store FOLDER` or V6FLOW_STORE")
        if prefix is None:
            return RunFolder(self._runs / names[0])
        matching = [name for name in names if name.startswith(prefix)]
        if len(matching) == 1:
            return RunFolder(self._runs / matching[0])
        if matching:
            raise UsageError(f"several runs start with {prefix!r}: {_list(matching)}", hint="give more of the id")
        hint = suggestion(prefix, names, cutoff=0.4) or f"there are: {_list(names)}"
        raise UsageError(f"no run starts with {prefix!r} in {self.root}", hint=hint)

    @property
    def _runs(self) -> Path:
        return self.root / "runs"

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

    def _fill(self, new: Path, run_id: str) -> None:
        new.mkdir(mode=0o700)
        for name in _FOLDERS:
            (new / name).mkdir(mode=0o700)
        files.write_whole(new / "created", f"{self._clock()}\n".encode("ascii"))
        SqliteJournal.create(new / "journal.sqlite", run_id).close()
        files.sync_folder(new)

    def _created(self, name: str) -> int:
        """When a run was made, in nanoseconds since 1970: as noted, else by its id, else 0."""
        with contextlib.suppress(OSError, ValueError):
            return int(files.read_whole(self._runs / name / "created"))
        found = _TIME.search(name)
        with contextlib.suppress(ValueError):
            if found:
                at = datetime.strptime(found[1], "%Y%m%d-%H%M").replace(tzinfo=timezone.utc)
                return int(at.timestamp()) * 10**9
        return 0


def check_id(name: str) -> str:
    """The id of a run, or the start of one. Raises UsageError unless it is a plain name."""
    if not _is_plain(name):
        hint = "an id has letters, digits, `.`, `_` and `-`"
        raise UsageError(f"{name[:MAX_NAME]!r} is not the id of a run", hint=hint)
    return name


def _check_file_name(name: str) -> str:
    if not _is_plain(name):
        raise UsageError(f"{name[:MAX_NAME]!r} is not a plain name for a file of a run")
    if name in _OURS or name.startswith(("journal.", _DECISION)):
        raise UsageError(f"{name!r} is a name that a run's folder keeps for itself")
    return name


def _is_plain(name: str) -> bool:
    return len(name) <= MAX_NAME and ".." not in name and _NAME.fullmatch(name) is not None


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


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
