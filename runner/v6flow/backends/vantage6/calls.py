"""The requests that asking organizations takes, each typed, with its kinds of failure."""

from __future__ import annotations

import io
import re
import tempfile
from typing import TYPE_CHECKING, Literal, TypeAlias

from v6flow.backends.vantage6 import dialects, encryption, paging, records
from v6flow.backends.vantage6.buffering import STAND_IN, Spill
from v6flow.backends.vantage6.encryption import DecryptionError
from v6flow.backends.vantage6.records import StrangeError, StrangeResultError
from v6flow.backends.vantage6.refusals import AmbiguousError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from v6flow.backends.vantage6.dialects import Dialect, TaskDraft
    from v6flow.backends.vantage6.encryption import PrivateKey
    from v6flow.backends.vantage6.records import Run, StoredResult, Task, TaskWithRuns
    from v6flow.backends.vantage6.session import Session
    from v6flow.backends.vantage6.transport import Response

LARGEST_RESULT = 256 * 1024 * 1024  # bytes that are accepted unless said otherwise
OVERHEAD = 64 * 1024  # of JSON around a result
PAGES_OF_RUNS = (1000, 50, 5, 1)
BLOB_TIME = 3600.0  # seconds that a blob may take in all

Killed: TypeAlias = Literal["killed", "finished", "gone"]


class Api:
    """Calls to one server as one user, for one collaboration; any number of threads may use it.

    `key` is our organization's private key; given, the collaboration is encrypted: inputs leave encrypted, and
    results that are not encrypted for us are refused.

    Each answer is compared with the request by its ids: StrangeError if it is about something else. A run belongs for
    ever to the task and the organization with which it was first read.
    """

    def __init__(self, session: Session, dialect: Dialect, *, key: PrivateKey | None = None) -> None:
        self.session = session
        self.dialect = dialect
        self._key = key
        self._belongs: dict[int, tuple[int, int]] = {}  # run → its task and organization
        self._uploads: set[str] = set()  # names of blobs that are inputs
        self._results: dict[str, int] = {}  # names of blobs that are results → the run

    def prepare_input(self, data: bytes, public_key: str, whose: str) -> str:
        """What a task has as the input of an organization.

        Where the server keeps blobs it is uploaded, which is repeated when it got no response: a blob nobody names
        does nothing. Raises KeyProblemError, and what Session.post raises.
        """
        if not self.dialect.blobs:
            if self._key is None:
                return encryption.encode(data)
            return encryption.encrypt(data, public_key, whose)
        body = encryption.encode(data).encode("ascii")
        if self._key is not None:
            body = encryption.encrypt_blob(data, public_key, whose)
        value = self.session.post("/blobstream", body, again="always").value
        name = value.get("uuid") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise StrangeError("the server does not name the blob that was uploaded")
        _check_blob_name(name)
        if name in self._uploads:
            raise StrangeError(f"the server gave two inputs that were uploaded the same name ({name})")
        self._uploads.add(name)
        return name

    def create_task(self, draft: TaskDraft) -> Task:
        """Create a task, in one request that is never repeated.

        Raises NotSentError (it does not exist), AmbiguousError (look its token up), RefusedError and AccessError (it
        does not exist and will not), FederationError (this server cannot do it).
        """
        answer = self.session.post("/task", dialects.task_body(self.dialect, draft), again="never")
        try:
            made = records.task(answer.value)
        except StrangeError as error:
            raise AmbiguousError(error.message, status=answer.status) from error
        if dialects.token_of(made.description) != draft.token:
            message = f"the server answered the creation of a task with task {made.id}, which does not carry its token"
            raise AmbiguousError(message, status=answer.status)
        return made

    def find_tasks_by_token(self, token: str, *, patience: float | None = None) -> tuple[Task, ...]:
        """The tasks that carry a token, the lowest id first; more than one are twins."""
        found = paging.items(self.session, "/task", [("description", f"%{token}%")], patience=patience)
        tasks = (records.task(raw) for raw in found)
        return tuple(
            sorted(
                (each for each in tasks if dialects.token_of(each.description) == token),
                key=lambda each: each.id,
            )
        )

    def task(self, number: int, *, patience: float | None = None) -> Task:
        """A task. Raises RefusedError with status 404 if it was deleted."""
        return records.task(self._get("task", number, patience=patience).value, number=number)

    def task_with_runs(self, number: int, *, results: bool = True, patience: float | None = None) -> TaskWithRuns:
        """A task with all its runs, also to a user whose lists hide other organizations' runs.

        `results` brings along what they returned, which is too much at once where results are large: TooLargeError.
        """
        wanted = "runs,results" if results else "runs"
        answer = self._get("task", number, [("include", wanted)], patience=patience)
        whole = records.task_with_runs(answer.value, results=results, number=number)
        for run in whole.runs:
            self._check_belonging(run)
            self._belongs[run.id] = (run.task, run.organization)
        return whole

    def subtasks(self, parent: int, *, patience: float | None = None) -> tuple[Task, ...]:
        """What a central function's run created, in the order of creation."""
        found = paging.items(self.session, "/task", [("parent_id", parent)], patience=patience)
        tasks = [records.task(raw) for raw in found]
        for task in tasks:
            if task.parent != parent:
                raise StrangeError(f"the server returned task {task.id} as a subtask of task {parent}, which it is not")
        return tuple(sorted(tasks, key=lambda each: each.id))

    def below(self, task: int, job: int | None, *, patience: float | None = None) -> tuple[TaskWithRuns, ...]:
        """All that a task's runs have dispatched, and what that has in turn, in the order of creation.

        By the `job` that they have in common it is one list; where that is not known, one for each task.
        """
        if job is not None:
            found = self._tasks_with_runs("job_id", job, patience)
            return tuple(each for each in found if each.task.parent is not None)
        found, waiting = [], [task]
        while waiting:
            inner = self._tasks_with_runs("parent_id", waiting.pop(0), patience)
            waiting += [each.task.id for each in inner]
            found += inner
        return tuple(sorted(found, key=lambda each: each.task.id))

    def _tasks_with_runs(
        self, link: Literal["job_id", "parent_id"], number: int, patience: float | None
    ) -> list[TaskWithRuns]:
        """The tasks of a job, or below a task, with their runs, in the order of creation."""
        try:
            raw = paging.items(self.session, "/task", [(link, number), ("include", "runs")], patience=patience)
        except TooLargeError:  # each run comes with its input
            raw = paging.items(self.session, "/task", [(link, number)], patience=patience)
        for task in map(records.task, raw):
            if (task.job if link == "job_id" else task.parent) != number:
                what = f"part of job {number}" if link == "job_id" else f"a subtask of task {number}"
                raise StrangeError(f"the server returned task {task.id} as {what}, which it is not")
        found = [
            records.task_with_runs(each, results=False)
            if isinstance(each, dict) and isinstance(each.get("runs"), list)
            else self.task_with_runs(records.task(each).id, results=False, patience=patience)
            for each in raw
        ]
        return sorted(found, key=lambda each: each.task.id)

    def runs_of(self, task: int, *, patience: float | None = None) -> tuple[Run, ...]:
        """A task's runs as far as this user's lists show them; compare with who was asked."""
        found = paging.items(self.session, "/run", [("task_id", task)], patience=patience)
        return self._in_order(records.run(raw, task=task) for raw in found)

    def open_runs(self, *, patience: float | None = None) -> tuple[Run, ...]:
        """The runs that this user's lists show and that have no time of finishing: judge by their phase too."""
        for size in PAGES_OF_RUNS:
            try:
                found = paging.items(self.session, "/run", [("state", "open")], patience=patience, per_page=size)
            except TooLargeError:  # each run comes with its input
                continue
            return self._in_order(records.run(raw) for raw in found)
        raise TooLargeError("a run's input is larger than what is accepted as an answer")

    def run(self, number: int, *, patience: float | None = None) -> Run:
        """A run, whosever it is."""
        found = records.run(self._get("run", number, patience=patience).value, number=number)
        self._check_belonging(found)
        return found

    def log(self, run: int, *, patience: float | None = None) -> str:
        """What a run has logged so far; empty where the node does not share it."""
        return self.run(run, patience=patience).log

    def kill_task(self, number: int) -> Killed:
        """Ask the server to kill a task's runs, and those of its subtasks; `finished` if the server holds it finished.

        The server calls a task finished as soon as one run has failed, and then kills nothing.
        """
        try:
            value = self.session.post("/kill/task", {"id": number}, again="always").value
        except RefusedError as error:
            _check_named(error, number)
            if error.status == 400 and "finished" in (error.said or ""):
                return "finished"
            if error.status == 404 and error.said is not None:
                return "gone"
            raise
        if not isinstance(value, dict) or not isinstance(value.get("msg"), str):
            raise StrangeError(f"the server does not confirm that task {number} is killed")
        return "killed"

    def _get(
        self,
        kind: Literal["task", "run", "result"],
        number: int,
        params: Iterable[tuple[str, str | int]] = (),
        *,
        patience: float | None = None,
        sieve: Callable[[], Spill] | None = None,
        limit: int | None = None,
    ) -> Response:
        """Read one thing; that another thing is not there is no answer (StrangeError)."""
        try:
            return self.session.get(f"/{kind}/{number}", params, patience=patience, sieve=sieve, limit=limit)
        except RefusedError as error:
            if error.status == 404:
                _check_named(error, number)
            raise

    def _check_belonging(self, run: Run) -> None:
        task, organization = known = self._belongs.get(run.id, (run.task, run.organization))
        if known != (run.task, run.organization):
            raise StrangeError(
                f"the server now says that run {run.id} is of task {run.task} at organization {run.organization}; "
                f"it said task {task} at organization {organization} before"
            )

    def _in_order(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        found = tuple(sorted(runs, key=lambda each: each.id))
        for each in found:
            self._check_belonging(each)
        return found

    def result(self, run: int, *, limit: int = LARGEST_RESULT, patience: float | None = None) -> bytes | None:
        """What an organization's algorithm returned, decrypted; None if there is nothing yet.

        Raises DecryptionError, TooLargeError, and what Session.get raises.
        """
        sink = io.BytesIO()
        written = self.result_into(run, sink, limit=limit, patience=patience)
        return None if written is None else sink.getvalue()

    def result_into(
        self, run: int, sink: BinaryIO, *, limit: int = LARGEST_RESULT, patience: float | None = None
    ) -> int | None:
        """Write what an algorithm returned to a file, decrypted, and never more than `limit` bytes; the bytes written.

        None if there is nothing yet. Large ones are never wholly in memory. What was written is no value when this
        raises.
        """
        with tempfile.TemporaryFile() as file:
            spill = Spill(file)

            def begin() -> Spill:
                nonlocal spill
                file.seek(0)
                file.truncate()
                spill = Spill(file)
                return spill

            answer = self._get("result", run, patience=patience, sieve=begin, limit=limit // 3 * 4 + OVERHEAD)
            task, _ = self._belongs.get(run, (None, None))
            stored = records.result(answer.value, number=run, task=task)
            if stored.text is None:
                return None
            if stored.blob:
                file.seek(0)
                file.truncate()
                _check_blob_name(stored.text)
                other = self._results.setdefault(stored.text, run)
                if other != run:
                    raise StrangeError(f"the server names the result of run {other} as the result of run {run}, too")
                path = f"/blobstream/{stored.text}"
                most = limit // 3 * 4 + OVERHEAD
                self.session.download(path, file, limit=most, total=BLOB_TIME, patience=patience)
            elif not spill.spilled or stored.text != STAND_IN:
                return _write(self.decoded(stored), sink, limit)
            file.seek(0)
            if self._key is not None:
                return encryption.decrypt_stream(file, _Capped(sink, limit), self._key, raw=stored.blob)
            return encryption.decode_stream(file, _Capped(sink, limit))

    def decoded(self, stored: StoredResult) -> bytes:
        """What a stored result holds that came with its task, and is no blob. Raises DecryptionError."""
        text = stored.text or ""
        body = encryption.decode(text) if self._key is None else encryption.decrypt(text, self._key)
        if body[:1] == b"\x80":
            raise DecryptionError(
                "it is a Python pickle, which v6flow never loads",
                hint="the algorithm must return JSON: it was made for vantage6 before 4.0",
            )
        return body


class _Capped:
    """A file that takes no more than `limit` bytes."""

    def __init__(self, sink: BinaryIO, limit: int) -> None:
        self._sink = sink
        self._left = limit
        self._limit = limit

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise TooLargeError(f"the result is larger than the {self._limit} bytes that are accepted")
        return self._sink.write(data)


def _write(body: bytes, sink: BinaryIO, limit: int) -> int:
    return _Capped(sink, limit).write(body)


def _check_blob_name(text: str) -> None:
    if len(text) != 36 or not set(text) <= set("0123456789abcdefABCDEF-"):
        raise StrangeResultError("the server names a blob that cannot be one", hint=None)


def _check_named(error: RefusedError, number: int) -> None:
    """That a refusal which names a task or a run by its id names the one that was requested."""
    named = re.findall(r"\bid=(\d{1,18})\b|\btask (\d{1,18})\b", error.said or "", re.IGNORECASE)
    if named and str(number) not in {part for parts in named for part in parts}:
        raise StrangeError(f"{error.message}; {number} was requested") from error
