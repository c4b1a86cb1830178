"""What a server says of tasks and their runs, read strictly where a wrong guess would be a wrong number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from v6flow.backends.vantage6.refusals import plain
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from v6flow.core.json import Json

COMPLETED = "completed"
WORKING = frozenset({"initializing", "active"})
FAILED = frozenset(
    {
        "failed", "start failed", "non-existing Docker image", "crashed", "killed by user", "not allowed",
        "unknown error",
    }
)  # fmt: skip
_YEAR_9999 = 253370764800.0  # seconds since 1970; later moments have no date in every zone
SIBLING = "Marked as failed because sibling run"  # how a log begins that tells of a consequence

Phase: TypeAlias = Literal["pending", "working", "completed", "failed", "unheard"]
"""`unheard`: a status that we do not know. It ends nothing."""


class StrangeError(UnreachableError):
    """The server's answer has not the shape that vantage6's answers have."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database that a task uses; `parameters` is what the server keeps besides its label, as text."""

    label: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task at the server. Its status is any failed run's; wait for the runs."""

    id: int
    name: str
    description: str
    image: str
    status: str | None
    collaboration: int | None
    study: int | None
    parent: int | None
    job: int | None
    init_organization: int | None
    init_user: int | None
    created_at: str | None
    finished_at: str | None
    databases: tuple[Database, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One organization's part of a task. The log is empty where the node does not share it."""

    id: int
    task: int
    organization: int
    status: str | None
    log: str
    assigned_at: str | None
    started_at: str | None
    finished_at: str | None
    input: str | None  # as it was sent: a digest of it tells whether a task is the one that was meant
    blob: bool

    @property
    def phase(self) -> Phase:
        """How far it is. A status nobody knows is not the end."""
        if self.status == COMPLETED:
            return "completed"
        if self.status in FAILED:
            return "failed"
        if self.status in WORKING:
            return "working"
        return "pending" if self.status == "pending" else "unheard"

    @property
    def began(self) -> float | None:
        """When its node began with it, in seconds since 1970-01-01 UTC; None if the server does not tell that."""
        return _moment(self.started_at)

    @property
    def is_consequence(self) -> bool:
        """Whether the server ended it since another organization's run had failed."""
        return self.status in FAILED and SIBLING in self.log


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What the server holds as the result of a run, as it is: encoded, encrypted, or a blob's name.

    None while the run has none.
    """

    run: int
    text: str | None
    blob: bool


@dataclass(frozen=True, slots=True)
class TaskWithRuns:
    """A task with all its runs, and their results by the id of the run."""

    task: Task
    runs: tuple[Run, ...]
    results: dict[int, StoredResult]


def task(value: Json) -> Task:
    """A task. Raises StrangeError."""
    raw = _mapping(value, "task")
    return Task(
        _integer(raw, "id", "task"),
        _words(raw.get("name")),
        _words(raw.get("description")),
        _words(raw.get("image")),
        _text(raw.get("status")),
        _link(raw.get("collaboration")),
        _link(raw.get("study")),
        _link(raw.get("parent")),
        raw.get("job_id") if isinstance(raw.get("job_id"), int) else None,
        _link(raw.get("init_org")),
        _link(raw.get("init_user")),
        _text(raw.get("created_at")),
        _text(raw.get("finished_at")),
        tuple(
            Database(_words(each.get("label")), _words(each.get("parameters")) or "{}")
            for each in _list(raw.get("databases"))
            if isinstance(each, dict)
        ),
    )


def run(value: Json) -> Run:
    """A run. Raises StrangeError."""
    raw = _mapping(value, "run")
    belongs, organization = _link(raw.get("task")), _link(raw.get("organization"))
    if belongs is None or organization is None:
        raise StrangeError(f"the server says not whose the run {raw.get('id')} is")
    return Run(
        _integer(raw, "id", "run"),
        belongs,
        organization,
        _text(raw.get("status")),
        _words(raw.get("log")),
        _text(raw.get("assigned_at")),
        _text(raw.get("started_at")),
        _text(raw.get("finished_at")),
        _text(raw.get("input")),
        raw.get("blob_storage_used") is True,
    )


def result(value: Json) -> StoredResult:
    """What is stored as a result. Raises StrangeError."""
    raw = _mapping(value, "result")
    number = _link(raw.get("run"))
    if number is None:
        number = _integer(raw, "id", "result")
    stored = raw.get("result")
    if stored is not None and not isinstance(stored, str):
        raise StrangeError(f"the result of run {number} is no text but {type(stored).__name__}")
    return StoredResult(number, stored, raw.get("blob_storage_used") is True)


def task_with_runs(value: Json, *, results: bool) -> TaskWithRuns:
    """A task that was read with its runs, and with their results if those were asked for. Raises StrangeError."""
    raw = _mapping(value, "task")
    runs, answers = raw.get("runs"), raw.get("results") if results else []
    if not isinstance(runs, list) or not isinstance(answers, list):
        raise StrangeError("the server left out the runs or the results of a task")
    unique = {each.id: each for each in map(run, runs)}
    stored = {each.run: each for each in map(result, answers)}
    found = task(value)
    if any(each.task != found.id for each in unique.values()):
        raise StrangeError(f"the server lists runs of another task as those of task {found.id}")
    return TaskWithRuns(found, tuple(sorted(unique.values(), key=lambda each: each.id)), stored)


def _mapping(value: Json, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StrangeError(f"what the server gives as a {what} is none: {plain(str(value))[:80]}")
    return value


def _integer(raw: dict[str, Any], key: str, what: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise StrangeError(f"the server gives a {what} without an {key}")
    return value


def _link(value: Any) -> int | None:
    """The id in a link to something, however it is written: `{"id": 3, …}` or 3."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(text: str | None) -> float | None:
    """A time of the server, which is in UTC where it names no zone; None for what is no time."""
    try:
        found = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
        at = (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at < _YEAR_9999 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
