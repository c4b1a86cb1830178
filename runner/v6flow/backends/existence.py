"""Checks whether what a federation file names exists: files, folders, and what references refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow import paths, references
from v6flow.core.language.problem import Problem
from v6flow.errors import FederationError

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path as Place
    from v6flow.core.language.problem import Severity

_FOLDER, _NOT_THERE, _REPORTED = "it is a folder", "it is not there", ""


class ExistenceCheck:
    """Looks for what a federation file names; `problems` are what is not there.

    Each place (`at`) is the path of a key in the document. Paths are relative to the folder of the file.
    """

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self._folder = folder

    def reveal(self, at: Place, text: str) -> str | None:
        """The value of a text or a reference; None, and a warning, if it is not known.

        None too where somebody else's file is checked: it is not to have our secrets looked up.
        """
        if paths.bounded() and text.startswith("${"):
            return None
        try:
            return references.reveal(text, folder=self._folder)
        except FederationError as error:
            self.complain(at, error.message, "reference", error.hint, severity="warning")
            return None

    def file(self, at: Place, path: str, what: str, *, folder: bool = False) -> None:
        """That a path is a regular file, or with `folder` a folder."""
        if (why := self._obstacle(at, path)) is not None and not (folder and why == _FOLDER):
            self._missing(at, what, why)

    def folder(self, at: Place, path: str) -> None:
        """That a path is a folder."""
        why = self._obstacle(at, path)
        if why != _FOLDER:
            self._missing(at, f"folder {path}", why or "it is a file")

    def missing(self, at: Place, what: str) -> None:
        """Complain that something is not there."""
        self._missing(at, what, _NOT_THERE)

    def is_folder(self, at: Place, path: Path) -> bool:
        """Whether a path is a folder; one that may not be looked at is complained of."""
        return self._obstacle(at, str(path)) == _FOLDER

    def absolute(self, path: str) -> Path:
        """A path that is relative to the file, made absolute."""
        return self._folder / paths.expand(path)

    def complain(
        self,
        at: Place,
        message: str,
        rule: str,
        hint: str | None = None,
        *,
        severity: Severity = "error",
        of_key: bool = False,
    ) -> None:
        """Add a problem with the value at a place, or with its key."""
        where = self.document.key_position(at) if of_key else self.document.position(at)
        self.problems.append(Problem(message, rule, self.document.name, where, hint, severity))

    def _obstacle(self, at: Place, path: str) -> str | None:
        """What keeps a path from being read as a file; `_REPORTED` if it has been complained of."""
        try:
            return paths.obstacle(self.absolute(path))
        except paths.OutsideError as error:
            self.complain(at, error.message, "outside", error.hint)
            return _REPORTED

    def _missing(self, at: Place, what: str, why: str) -> None:
        if why != _REPORTED:
            self.complain(at, f"no {what}" if why == _NOT_THERE else f"{what} cannot be used: {why}", "missing-file")
