"""What a server says of tasks and their runs, read strictly and compared with what was requested."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from v6flow.backends.vantage6.refusals import plain
from v6flow.errors import PersonNeededError

if TYPE_CHECKING:
    from collections.abc import Iterable

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


HINT = (
    "v6flow used nothing of that answer; if it happens again, ask the administrator of the server "
    "whether a proxy or a cache in front of it mixes up answers"
)


class StrangeError(PersonNeededError):
    """The server's answer does not fit the request: it is about something else, or has another shape (exit 6)."""

    def __init__(self, message: str, *, hint: str | None = HINT) -> None:
        super().__init__(message, hint=hint)


class StrangeResultError(StrangeError):
    """A result belongs to the requested run, but is stored in a way that cannot be read."""


class TaskDatabase(Struct, frozen=True):
    """A database that a task uses; `parameters` is what the server keeps besides its label, as text."""

    label: str
    parameters: str


class Task(Struct, frozen=True):
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
    databases: tuple[TaskDatabase, ...]


class Run(Struct, frozen=True):
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
        """When its node began with it, in seconds since 1970-01-01 UTC; None if the server does not report it."""
        return moment(self.started_at)

    @property
    def ended(self) -> float | None:
        """When it ended, in seconds since 1970-01-01 UTC; None if the server does not report it."""
        return moment(self.finished_at)

    @property
    def is_consequence(self) -> bool:
        """Whether the server ended it since another organization's run had failed."""
        return self.status in FAILED and SIBLING in self.log


class StoredResult(Struct, frozen=True):
    """What the server holds as the result of a run, as it is: encoded, encrypted, or a blob's name.

    None while the run has none.
    """

    run: int
    text: str | None
    blob: bool


class TaskWithRuns(Struct, frozen=True):
    """A task with all its runs, and their results by the id of the run."""

    task: Task
    runs: tuple[Run, ...]
    results: dict[int, StoredResult]


def task(value: Json, *, number: int | None = None) -> Task:
    """A task; with `number`, the task of that id. Raises StrangeError."""
    raw = _mapping(value, "task")
    return Task(
        _own_id(raw, "task", number),
        _words(raw.get("name")),
        _words(raw.get("description")),
        _words(raw.get("image")),
        _text(raw.get("status")),
        _optional_link(raw, "collaboration", "task"),
        _optional_link(raw, "study", "task"),
        _optional_link(raw, "parent", "task"),
        identifier(raw.get("job_id")),
        _optional_link(raw, "init_org", "task"),
        _optional_link(raw, "init_user", "task"),
        _text(raw.get("created_at")),
        _text(raw.get("finished_at")),
        tuple(
            TaskDatabase(_words(each.get("label")), _words(each.get("parameters")) or "{}")
            for each in _list(raw.get("databases"))
            if isinstance(each, dict)
        ),
    )


def run(value: Json, *, number: int | None = None, task: int | None = None) -> Run:
    """A run; with `number`, the run of that id, and with `task`, one of that task. Raises StrangeError."""
    raw = _mapping(value, "run")
    found = _own_id(raw, "run", number)
    belongs, organization = link(raw.get("task")), link(raw.get("organization"))
    if belongs is None or organization is None:
        raise StrangeError(f"the server does not say which task and organization run {found} belongs to")
    if task is not None and belongs != task:
        raise StrangeError(f"the server returned run {found} of task {belongs} as a run of task {task}")
    return Run(
        found,
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


def result(value: Json, *, number: int | None = None, task: int | None = None) -> StoredResult:
    """What is stored as a result; with `number`, that of the run of that id, and with `task`, of that task.

    A result has the id of its run. Raises StrangeError; StrangeResultError for a result that is no text.
    """
    raw = _mapping(value, "result")
    found, of = _own_id(raw, "result", number), link(raw.get("run"))
    if of != found:
        called = "no run" if of is None else f"run {of}"
        raise StrangeError(f"the server returned the result of {called} as the result of run {found}")
    belongs = _optional_link(raw, "task", "result")
    if task is not None and belongs not in (None, task):
        raise StrangeError(
            f"the server returned the result of run {found} as one of task {belongs}, not of task {task}"
        )
    stored = raw.get("result")
    if stored is not None and not isinstance(stored, str):
        raise StrangeResultError(f"the result of run {found} is no text but {type(stored).__name__}", hint=None)
    return StoredResult(found, stored, raw.get("blob_storage_used") is True)


def task_with_runs(value: Json, *, results: bool, number: int | None = None) -> TaskWithRuns:
    """A task that was read with its runs, and with their results if `results`; with `number`, the task of that id.

    Runs and results may come in any order, and twice if both say the same. Raises StrangeError.
    """
    raw = _mapping(value, "task")
    runs, answers = raw.get("runs"), raw.get("results") if results else []
    if not isinstance(runs, list) or not isinstance(answers, list):
        raise StrangeError("the server left out the runs or the results of a task")
    found = task(value, number=number)
    unique: dict[int, Run] = {}
    for one in (run(each, task=found.id) for each in runs):
        if unique.setdefault(one.id, one) != one:
            raise StrangeError(f"the server returned run {one.id} of task {found.id} twice, with different contents")
    stored: dict[int, StoredResult] = {}
    for each in (result(each, task=found.id) for each in answers):
        if each.run not in unique:
            raise StrangeError(f"the server returned a result of run {each.run}, which task {found.id} does not have")
        if stored.setdefault(each.run, each) != each:
            raise StrangeError(f"the server returned two different results of run {each.run}")
    return TaskWithRuns(found, tuple(sorted(unique.values(), key=lambda each: each.id)), stored)


def repeated(runs: Iterable[Run]) -> tuple[int, ...]:
    """The ids of the organizations that have more than one of these runs."""
    seen = [each.organization for each in runs]
    return tuple(sorted({number for number in seen if seen.count(number) > 1}))


def identifier(value: Any) -> int | None:
    """An id as servers write ids, None for anything else: True, 3.0 and "3" are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def link(value: Any) -> int | None:
    """The id in a link to something, however it is written: `{"id": 3, …}` or 3."""
    return identifier(value.get("id") if isinstance(value, dict) else value)


def _optional_link(raw: dict[str, Any], key: str, what: str) -> int | None:
    """The id in a link that may be left out, but may not be anything else."""
    value = raw.get(key)
    found = link(value)
    if value is not None and found is None:
        raise StrangeError(f"the server gives the {what} {raw.get('id')} a {key} without an id")
    return found


def _mapping(value: Json, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StrangeError(f"what the server gives as a {what} is none: {plain(str(value))[:80]}")
    return value


def _own_id(raw: dict[str, Any], what: str, wanted: int | None) -> int:
    found = identifier(raw.get("id"))
    if found is None:
        raise StrangeError(f"the server gives a {what} without an id")
    if wanted is not None and found != wanted:
        raise StrangeError(f"the server returned {what} {found} when {what} {wanted} was requested")
    return found


def moment(text: str | None) -> float | None:
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
