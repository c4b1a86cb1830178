"""A collaboration at a server as something that was reached: logged in, with names for ids."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from v6flow.backends.vantage6 import causes, directory
from v6flow.backends.vantage6.connecting import connect
from v6flow.backends.vantage6.records import StrangeError

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.backends.base import Backend
    from v6flow.core.checks.findings import Finding
    from v6flow.core.execution.events import Subtask
    from v6flow.core.federation import Directory
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan
    from v6flow.core.server import ServerFederation


class ServerAccess:
    """A collaboration at a vantage6 server (see `backends.base.Access`).

    Raises FederationError, AccessError, UnreachableError when it is made.
    """

    def __init__(self, federation: ServerFederation) -> None:
        self._federation = federation
        self._connected = connect(federation)

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        """Who there is; studies and stores are asked for only if they are wanted."""
        known = self._connected.directory
        session = self._connected.session
        if studies and known.studies is None:
            known = replace(known, studies=directory.read_studies(session, known))
        if (stores or "store" in self._federation.defaults) and known.stores is None:
            known = replace(known, stores=directory.read_stores(session, known.collaboration))
        self._connected = replace(self._connected, directory=known)
        return replace(known.directory(), policy=self._federation.policy)

    def preflight(self, plan: Plan) -> list[Finding]:
        """What is to be said of it, and of what a plan needs of it."""
        from v6flow.backends.vantage6 import checkup

        return checkup.preflight(self._connected, plan, allow_http=self._federation.allow_http)

    def misfits(self, plan: Plan) -> list[Problem]:
        """What the steps call otherwise than the collaboration's algorithm stores say.

        Of a step that names no store, what any store says of its image is only a warning.
        """
        from v6flow.backends.vantage6 import descriptions

        self.directory(stores=self._connected.api.dialect.stores)
        there, http = self._connected, self._federation.allow_http
        return descriptions.misfits(there.session, there.directory, plan, allow_http=http)

    def contents(self) -> str:
        """Nothing: no server tells when a hospital's data or an image changed."""
        return ""

    def backend(self, folder: Path, *, jobs: int | None = None) -> Backend:  # noqa: ARG002 - all is at the server
        """A backend for a run."""
        from v6flow.backends.vantage6.backend import ServerBackend

        return ServerBackend(self._connected, jobs=jobs or self._federation.jobs)

    def log(self, folder: Path, token: str, organization: str) -> str | None:  # noqa: ARG002 - all is at the server
        """What a task run has printed so far, as far as its node shares it."""
        number = self._connected.directory.by_short()[organization].id
        api = self._connected.api
        for task in api.find_tasks_by_token(token)[:1]:
            runs = [run for run in api.task_with_runs(task.id, results=False).runs if run.organization == number]
            if len(runs) > 1:
                raise StrangeError(f"task {task.id} has several runs for {organization}")
            return causes.shared_log(runs[0]) if runs else None
        return None

    def subtask_log(self, folder: Path, subtask: Subtask) -> str | None:  # noqa: ARG002 - all is at the server
        """What a subtask's run has printed so far, as far as its node shares it."""
        return causes.shared_log(self._connected.api.run(int(subtask.run)))

    def close(self) -> None:
        """Close all connections."""
        self._connected.close()
