"""Parts to make an engine of in a test: they do what a script says, at once, and remember what was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from v6flow.backends.base import Accepted, Answered, Looked
from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.directory import Directory
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import RunState, replay
from v6flow.core.language import document
from v6flow.core.planning import planner
from v6flow.engine import Engine
from v6flow.errors import NoSpaceError
from v6flow.local.base import AttemptAnswered, AttemptFailed, LocalReport
from v6flow.reporters.base import Silent
from v6flow.stores.memory import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from v6flow.backends.base import Report
    from v6flow.core.execution.commands import LocalRequest, TaskRequest
    from v6flow.core.execution.events import Event
    from v6flow.core.planning.plan import Plan
    from v6flow.engine import Results
    from v6flow.reporters.base import Reporter
    from v6flow.stores.base import Journal

ORGANIZATIONS = ("alpha", "beta", "gamma")
RUN = "w-20261121-0523-k3f9"


class FakeClock:
    """A clock that only the test moves."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


class FakeJournal(MemoryJournal):
    """A journal in memory that notes each write, and has no space from the write `full_at` on (from 1)."""

    def __init__(self, *, full_at: int | None = None) -> None:
        super().__init__()
        self.full_at = full_at
        self.writes: list[tuple[tuple[str, ...], bool]] = []

    def append(self, events: Sequence[Event], *, durable: bool) -> None:
        if self.full_at is not None and len(self.writes) + 1 >= self.full_at:
            raise NoSpaceError("no space for the journal")
        self.writes.append((tuple(type(event).__name__ for event in events), durable))
        super().append(events, durable=durable)

    def of(self, *kinds: type[Event]) -> list[Any]:
        """The events of some kinds."""
        return [event for event in self.events() if isinstance(event, kinds)]


class FakeBackend:
    """A backend that answers at once what the script says, and is silent where that says nothing.

    The script is called with each request, and whether it is asked again; it may raise.
    """

    def __init__(self, script: Callable[[TaskRequest, bool], Iterable[Report]]) -> None:
        self._script = script
        self._emit: Callable[[Report], None] | None = None
        self.submitted: list[TaskRequest] = []
        self.again: list[str] = []
        self.killed: list[tuple[str, tuple[str, ...]]] = []
        self.looked: list[str] = []
        self.forgotten: list[tuple[str, str]] = []
        self.found_late: dict[str, tuple[Report, ...]] = {}  # what a look at a token brings, if not just its end
        self.closed = False

    def directory(self) -> Directory:
        return Directory(ORGANIZATIONS)

    def open(self, emit: Callable[[Report], None]) -> None:
        self._emit = emit

    def submit(self, request: TaskRequest, *, again: bool) -> None:
        assert self._emit is not None
        self.submitted.append(request)
        if again:
            self.again.append(request.token)
        for report in self._script(request, again):
            self._emit(report)

    def look(self, token: str) -> None:
        assert self._emit is not None
        self.looked.append(token)
        for report in self.found_late.get(token, (Looked(token),)):
            self._emit(report)

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        self.killed.append((token, organizations))

    def forget(self, token: str, organization: str) -> None:
        self.forgotten.append((token, organization))

    def close(self) -> None:
        self.closed = True


class FakeLocal:
    """Runs local steps by Python functions of their keyword arguments, at once; `None` is silence."""

    def __init__(self, functions: dict[str, Callable[..., Any] | None] | None = None) -> None:
        self._functions = functions or {}
        self._emit: Callable[[LocalReport], None] | None = None
        self.started: list[LocalRequest] = []
        self.killed: list[str] = []
        self.closed = False

    def open(self, emit: Callable[[LocalReport], None]) -> None:
        self._emit = emit

    def start(self, request: LocalRequest) -> None:
        assert self._emit is not None
        self.started.append(request)
        function = self._functions[request.step]
        if function is None:
            return
        try:
            body = json.dumps(function(**request.kwargs)).encode()
        except Exception as error:  # noqa: BLE001 - as a child process would
            name = type(error).__name__
            self._emit(AttemptFailed(request.step, request.attempt, "crashed", f"{name}: {error}"))
        else:
            self._emit(AttemptAnswered(request.step, request.attempt, body))

    def kill(self, step: str) -> None:
        self.killed.append(step)

    def close(self) -> None:
        self.closed = True


def make(text: str, *, organizations: tuple[str, ...] = ORGANIZATIONS, deadline: float | None = None) -> Plan:
    """The plan of a workflow's text without its first lines, which must be sound."""
    workflow = reading.parse(document.parse(f"v6flow: 1\nname: w\n{text}", "w.yaml"))
    problems = soundness.check(workflow)
    assert not problems, problems
    directory = Directory(organizations, defaults={"image": "i"})
    return planner.make(workflow, {}, directory, folder="/work", run=RUN, started=1000.0, deadline=deadline)


def begun(journal: Journal) -> RunState:
    """The state of a run that has begun, or goes on from what a journal has."""
    first = next(iter(journal.events()), None)
    if first is None:
        journal.append([ev.RunStarted(1000.0, RUN, "w", {})], durable=True)
    else:
        journal.append([ev.RunResumed(1000.0, 0.0)], durable=True)
    return replay(journal.events())


def engine(
    made: Plan,
    journal: Journal,
    backend: FakeBackend | None = None,
    *,
    state: RunState | None = None,
    local: FakeLocal | None = None,
    clock: FakeClock | None = None,
    reporter: Reporter | None = None,
    results: Results | None = None,
) -> Engine:
    """An engine that is ready to run."""
    return Engine(
        made,
        state if state is not None else begun(journal),
        journal,
        backend=backend,
        local=local or FakeLocal(),
        clock=clock or FakeClock(),
        reporter=reporter or Silent(),
        jobs=2,
        results=results,
    )


def carry_on(
    made: Plan, journal: Journal, backend: FakeBackend | None = None, local: FakeLocal | None = None
) -> RunState:
    """The state in which a run ends."""
    engine(made, journal, backend, local=local).run()
    return replay(journal.events())


def answers(bodies: dict[str, bytes]) -> FakeBackend:
    """A backend at which each organization answers always the same."""

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        yield Accepted(request.token, "task 1")
        for name in request.kwargs:
            if name in bodies:
                yield Answered(request.token, name, bodies[name], f"log of {name}\n")

    return FakeBackend(script)
