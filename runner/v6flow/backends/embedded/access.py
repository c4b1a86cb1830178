"""An embedded federation as something that was reached: it is always there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.backends.base import Access
from v6flow.backends.embedded import logs, responses
from v6flow.core.checks import declarations

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.backends.base import Backend
    from v6flow.backends.embedded.configuration import EmbeddedFederation
    from v6flow.backends.embedded.contents import Contents
    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan


class EmbeddedAccess(Access):
    """A federation that is simulated on this machine: connecting takes nothing."""

    def __init__(self, federation: EmbeddedFederation) -> None:
        self._federation = federation
        self._contents: Contents | None = None

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:  # noqa: ARG002 - all is known
        """Who there is."""
        return self._federation.directory()

    def preflight(self, plan: Plan | None) -> list[Finding]:
        """Findings about its files and packages, and about what a plan needs of it."""
        from v6flow.backends.embedded import checkup

        return checkup.preflight(self._federation, plan)

    def misfits(self, plan: Plan) -> list[Problem]:
        """The steps that call a central function and do not say so, by the source of the package that has it."""
        from v6flow.backends.embedded import checkup

        return [declarations.placed(plan, step, misfit) for step, misfit in checkup.central(self._federation, plan)]

    def contents(self) -> str:
        """A digest of what is in the databases and the algorithms."""
        from v6flow.backends.embedded.contents import Contents

        if self._contents is None:
            self._contents = Contents(self._federation)
        return self._contents.digest()

    def backend(self, folder: Path, *, jobs: int | None = None) -> Backend:
        """A backend for the run that is kept in a folder."""
        from v6flow.backends.embedded.backend import EmbeddedBackend

        return EmbeddedBackend(self._federation, folder, jobs=jobs)

    def log(self, folder: Path, token: str, organization: str) -> str | None:
        """What a task run has printed so far: it writes that into the run's folder."""
        place = responses.place(folder / "answers", token, organization)
        for path in (place / responses.LOG, *sorted(place.glob("*/log"), reverse=True)):
            if path.is_file():
                return logs.read(path)
        return None
