"""Access to lists of numbers: they are always there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toy_backend.backend import ToyBackend
from v6flow.backends.base import Access
from v6flow.core.checks.findings import ok, warning

if TYPE_CHECKING:
    from pathlib import Path

    from toy_backend.configuration import ToyFederation
    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.planning.plan import Plan


class ToyAccess(Access):
    """All that is known is in the file."""

    def __init__(self, federation: ToyFederation) -> None:
        self._federation = federation

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        return self._federation.directory()

    def preflight(self, plan: Plan | None) -> list[Finding]:
        found = [ok("federation", f"{len(self._federation.numbers)} organizations have numbers")]
        return found + [warning(name, "is offline", organization=name) for name in self._federation.offline]

    def backend(self, folder: Path, *, jobs: int | None = None) -> ToyBackend:
        return ToyBackend(self._federation, folder)
