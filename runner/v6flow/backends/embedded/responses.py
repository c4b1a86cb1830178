"""Answers kept in the run's folder, by token and organization: what was answered is never asked again.

Beside an answer it is noted which question it answers: an answer to another question is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.backends.embedded.logs import read
from v6flow.core.execution.events import Subtask

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from v6flow.backends.embedded.task_records import TaskRun

ANSWER, LOG, SUBTASKS, QUESTION = "answer", "log", "subtasks", "question"
_NOTED = ("run", "organization", "status", "message", "log_tail", "task", "ended", "consequence", "hint")
"""The fields of a subtask that a line of SUBTASKS has, in its order."""


def place(folder: Path, token: str, organization: str) -> Path:
    """Where the answer of an organization to a question is kept."""
    return folder / _file_name(token) / _file_name(organization)


def question(run: TaskRun) -> str:
    """A digest of what a task run is asked: the image, the databases and the input, method and arguments with it."""
    asked = [run.organization.name, run.task.image, list(run.task.databases), hashlib.sha256(run.input).hexdigest()]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def kept(path: Path, asked: str) -> bytes | None:
    """The answer in a place to the question with this digest, None if there is none.

    An answer beside which no question is noted was kept by an earlier version, and counts.
    """
    try:
        return (path / ANSWER).read_bytes() or None if _question(path) in (None, asked) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _question(path: Path) -> str | None:
    """The digest of the question that was asked last in a place, None if none is noted."""
    try:
        return (path / QUESTION).read_text("ascii") or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def keep(path: Path, output: Path, log: Path | None) -> None:
    """Keep what a task run wrote but did not keep itself, without its log if that is None.

    Nothing happens if it wrote no output.
    """
    try:
        if output.stat().st_size == 0:
            return
    except FileNotFoundError:
        return
    with output.open("rb") as file:
        os.fsync(file.fileno())
    if log is not None:
        log.replace(path / LOG)
    output.replace(path / ANSWER)


def child_token(
    parent: tuple[str, str],
    ordinal: int,
    organization: str,
    databases: Iterable[dict[str, Any]],
    input_: bytes,
) -> str:
    """The token of what the `ordinal`th task of a task run (token, organization) asks an organization.

    It is the same when that task run is started again and asks the same again, so that its answers are found.
    """
    asked = [*parent, ordinal, organization, list(databases), hashlib.sha256(input_).hexdigest()]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def begin(path: Path, asked: str) -> None:
    """Make the place for a question, and forget what an earlier process did there that did not come to an answer.

    What was answered there to another question is forgotten, too.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _question(path) not in (None, asked):
        (path / ANSWER).unlink(missing_ok=True)
    (path / QUESTION).write_text(asked, "ascii")
    for name in (SUBTASKS, LOG):
        (path / name).unlink(missing_ok=True)
    for work in path.iterdir():
        if work.is_dir():
            shutil.rmtree(work, ignore_errors=True)


def task_key(parent: tuple[str, str], ordinal: int) -> str:
    """The name of the `ordinal`th task of a task run (token, organization), the same when that is started again."""
    return hashlib.sha256(json.dumps([*parent, ordinal]).encode()).hexdigest()[:12]


def keep_log(path: Path, log: str) -> None:
    """Keep what a task run has printed that came to no answer."""
    if log:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / LOG).write_text(log, encoding="utf-8", errors="backslashreplace")


def note_subtasks(path: Path, subtasks: Iterable[Subtask]) -> None:
    """Add to the list of what a task run dispatched; a later line for the same `run` wins."""
    lines = [json.dumps([getattr(subtask, each) for each in _NOTED]) + "\n" for subtask in subtasks]
    with (path / SUBTASKS).open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write("".join(lines))


def subtasks(folder: Path, path: Path, *, logs: bool = False, parent: str = "", by: str = "") -> tuple[Subtask, ...]:
    """All that a task run dispatched, and what those dispatched in turn, in the order of their creation.

    With `logs`, each has the text of its log, as far as that is kept.
    """
    latest: dict[tuple[str, str], Subtask] = {}
    try:
        lines = (path / SUBTASKS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    for line in lines:
        try:
            values = dict(zip(_NOTED, json.loads(line), strict=False))  # the last four were not always kept
        except ValueError:  # the last line of a process that was killed while writing
            continue
        subtask = Subtask(**values, parent=parent, by=by)
        latest[subtask.run, subtask.organization] = subtask
    found: list[Subtask] = []
    for (run, organization), subtask in latest.items():
        inner = place(folder, run, organization)
        found.append(replace(subtask, log=read(inner / LOG) or None) if logs else subtask)
        found.extend(subtasks(folder, inner, logs=logs, parent=subtask.task, by=organization))
    return tuple(found)


def forget(folder: Path, token: str, organization: str) -> None:
    """Remove an answer and its log, with those of all that its task run dispatched."""
    path = place(folder, token, organization)
    try:
        lines = (path / SUBTASKS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the last line of a process that was killed while writing
            child, name, *_ = json.loads(line)
            forget(folder, child, name)
    shutil.rmtree(path, ignore_errors=True)


def _file_name(text: str) -> str:
    """A file name for any text: readable, and different for different texts on any file system."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:40]
    return f"{readable}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
