"""A collaboration at a server as something that was reached: logged in, with names for ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.backends.base import Access
from v6flow.backends.vantage6 import classification, server_names
from v6flow.backends.vantage6.connecting import connect
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.second_factor import PERSON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from v6flow.backends.base import Backend, Planner, UploadedKey
    from v6flow.backends.vantage6.configuration import ServerFederation
    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.execution.events import Subtask
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan


class ServerAccess(Access):
    """A collaboration at a vantage6 server."""

    _connected: Connected

    def __init__(self, federation: ServerFederation) -> None:
        self._federation = federation

    def connect(self) -> None:
        """Log in and look names up. Raises FederationError, AccessError, UnreachableError."""
        self._connected = connect(self._federation)

    def handed_on(self) -> dict[str, str]:
        """The two-factor code that was used for the log-in, if one was."""
        return PERSON.handed_on()

    def examine(self, make: Planner | None) -> list[Finding]:
        """Findings about it, as far as one can get."""
        from v6flow.backends.vantage6 import checkup

        return checkup.examine(self._federation, plan=make)

    def upload_key(self, *, replace: bool, announce: Callable[[list[str]], None]) -> UploadedKey:
        """Put the public key of our organization there. Raises FederationError, AccessError, UnreachableError."""
        from v6flow.backends.vantage6 import keys

        return keys.upload(self._federation, replace=replace, announce=announce)

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        """Who there is; studies and stores are asked for only if they are wanted."""
        known = self._connected.directory
        session = self._connected.session
        if studies and known.studies is None:
            known = replace(known, studies=server_names.read_studies(session, known))
        if (stores or "store" in self._federation.defaults) and known.stores is None:
            known = replace(known, stores=server_names.read_stores(session, known.collaboration))
        self._connected = replace(self._connected, directory=known)
        return replace(known.directory(), policy=self._federation.policy)

    def preflight(self, plan: Plan | None) -> list[Finding]:
        """Findings about it, and about what a plan needs of it."""
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
            return classification.shared_log(runs[0]) if runs else None
        return None

    def subtask_log(self, folder: Path, subtask: Subtask) -> str | None:  # noqa: ARG002 - all is at the server
        """What a subtask's run has printed so far, as far as its node shares it."""
        return classification.shared_log(self._connected.api.run(int(subtask.run)))

    def close(self) -> None:
        """Close all connections, if there are any."""
        if hasattr(self, "_connected"):
            self._connected.close()
