"""The backend for a federation that is simulated on this machine."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING

from v6flow.backends.base import Accepted, Answered, Broken, Dispatched, Failed, Looked, Remarked, Working
from v6flow.backends.embedded import responses
from v6flow.backends.embedded.environment import choice
from v6flow.backends.embedded.nodes import Nodes
from v6flow.backends.embedded.server import Server
from v6flow.backends.embedded.task_records import Answer, Outcome, TaskRun
from v6flow.core.execution import dispatched
from v6flow.core.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from v6flow.backends.base import Report
    from v6flow.backends.embedded.configuration import EmbeddedFederation, EmbeddedOrganization
    from v6flow.backends.embedded.proxy import Proxy
    from v6flow.core.directory import Directory
    from v6flow.core.execution.commands import TaskRequest

HOLD = 25.0  # seconds that a question about a task's status is held while the task has not ended


class EmbeddedBackend:
    """Runs unmodified vantage6 algorithms, each in a process of its own (see `backends.base.Backend`).

    `folder` is the run's folder: answers are kept in its `answers` and adopted later. `jobs` task runs work
    at once (default: the federation's, else twice the processors, at least 4). `warm` False starts each in a
    new interpreter, as on macOS. `hold` is how many seconds a question about a task's status is held.
    """

    def __init__(
        self,
        federation: EmbeddedFederation,
        folder: Path,
        *,
        jobs: int | None = None,
        warm: bool | None = None,
        hold: float = HOLD,
    ) -> None:
        self._federation = federation
        self._hold = hold
        self._server = Server()
        self._nodes = Nodes(
            federation,
            folder / "answers",
            self._server,
            jobs=jobs or federation.jobs or max(4, 2 * (os.cpu_count() or 1)),
            warm=warm,
            working=self._working,
            tell=self._tell,
            dispatched=self._seen,
            left=self._left,
            broken=lambda error: self._emit_unless_killed(None, Broken(error)),
        )
        self._proxy: Proxy | None = None
        self._emit: Callable[[Report], None] | None = None
        self._emitting = RLock()  # held while emitting, so that nothing is emitted once kill has returned
        self._asked: dict[tuple[str, str], TaskRun] = {}
        self._steps: dict[str, str] = {}  # by the tokens of what they asked

    def directory(self) -> Directory:
        """The organizations of the federation file, in its order."""
        return self._federation.directory()

    def open(self, emit: Callable[[Report], None]) -> None:
        """From now on reports go to `emit`."""
        self._emit = emit

    def submit(self, request: TaskRequest, *, again: bool) -> None:  # noqa: ARG002  kept answers are always adopted
        """Ask the organizations of a request that do not work on it already."""
        if self._proxy is None:
            self._start_proxy()
        known = {each.name: each for each in self._federation.organizations}
        asked: list[tuple[EmbeddedOrganization, str, bytes]] = []
        under_way: list[TaskRun] = []
        for name, kwargs in request.kwargs.items():
            before = self._asked.get((request.token, name))
            if before is not None and not before.claimed:
                under_way.append(before)
            else:
                input_ = dumps({"method": request.method, "kwargs": dict(kwargs)})
                asked.append((known[name], request.token, input_.encode()))
        if not asked:
            self._emit_unless_killed(None, Accepted(request.token, f"task {under_way[0].task.id}"))
            return
        self._steps[request.token] = request.step
        task = self._server.create(
            name=request.name or request.step,
            description=request.description,
            image=request.image,
            databases=tuple(choice(database) for database in request.databases),
            asked=asked,
            attempt=request.attempt,
            withheld=request.withheld,
        )
        self._asked.update({(run.token, run.organization.name): run for run in task.runs})
        self._emit_unless_killed(None, Accepted(request.token, f"task {task.id}"))
        self._nodes.ask(task.runs)

    def look(self, token: str) -> None:
        """All that is there has been reported when it came, but for the logs of subtasks."""
        for run in [each for (of, _), each in self._asked.items() if of == token]:
            if run.children and not run.claimed:
                self._seen(run, logs=True)
        self._emit_unless_killed(None, Looked(token))

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        """End what these organizations do for this token, with all that it dispatched."""
        for name in organizations:
            run = self._asked.get((token, name))
            if run is not None:
                with self._emitting:
                    run.killed = True
                ended = self._nodes.kill(run)
                if ended:
                    self._left(run, ended)

    def forget(self, token: str, organization: str) -> None:
        """Remove the answer from the run's folder, with those that it was made of."""
        responses.forget(self._nodes.folder, token, organization)

    def close(self) -> None:
        """End all processes, the server and the threads; may be called again."""
        with self._emitting:
            self._emit = None
        self._server.close()
        self._nodes.close()
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    def _start_proxy(self) -> None:
        from v6flow.backends.embedded.proxy import Proxy

        self._proxy = Proxy(self._federation, self._server, self._nodes, hold=self._hold)
        self._nodes.port = self._proxy.port

    def _working(self, run: TaskRun) -> None:
        if run.task.parent is None:
            self._emit_unless_killed(run, Working(run.token, run.organization.name))

    def _tell(self, run: TaskRun, outcome: Outcome) -> None:
        token, organization = run.token, run.organization.name
        subtasks = responses.subtasks(self._nodes.folder, self._nodes.place(run), logs=True)
        if isinstance(outcome, Answer):
            report: Report = Answered(token, organization, outcome.body, outcome.log, subtasks)
        else:
            report = Failed(
                token,
                organization,
                outcome.kind,
                outcome.message,
                outcome.log,
                outcome.hint,
                subtasks=subtasks,
                own=outcome.own,
            )
        self._emit_unless_killed(run, report)

    def _seen(self, run: TaskRun, *, logs: bool = False) -> None:
        """Report what a task run has dispatched by now, and its state."""
        subtasks = responses.subtasks(self._nodes.folder, self._nodes.place(run), logs=logs)
        self._emit_unless_killed(run, Dispatched(run.token, run.organization.name, subtasks))

    def _left(self, run: TaskRun, ended: list[str]) -> None:
        """Report which subtasks of a task run had to be ended."""
        note = dispatched.ended_note(self._steps[run.token], f"attempt {run.task.attempt}", ended)
        self._emit_unless_killed(None, Remarked(note))

    def _emit_unless_killed(self, run: TaskRun | None, report: Report) -> None:
        with self._emitting:
            if self._emit is not None and (run is None or not run.killed):
                self._emit(report)
