"""What is wrong with a file, with its place, and the error that lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import Struct

from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Path = tuple["str | int", ...]
"""Where a value is in a document: mapping keys and list indices (from 0), outermost first."""

Severity = Literal["error", "warning"]


class Position(Struct, frozen=True, order=True):
    """A place in a text: line and column, both from 1; a column counts characters."""

    line: int
    column: int


class Problem(Struct, frozen=True):
    """One thing wrong: the sentence, the rule it breaks, and where; `hint` is the nearest right word or the remedy."""

    message: str
    rule: str
    file: str = ""
    position: Position = Position(1, 1)
    hint: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        """`file:line:column: message (hint) [rule]`."""
        warning = "warning: " if self.severity == "warning" else ""
        hint = f" ({self.hint})" if self.hint else ""
        where = self.position
        return f"{self.file}:{where.line}:{where.column}: {warning}{self.message}{hint} [{self.rule}]"


class InvalidError(UsageError):
    """A file or a parameter has problems, all of which are listed (exit 2)."""

    kind: ClassVar[str] = "invalid"

    def __init__(self, problems: Sequence[Problem], *, what: str = "the file", hint: str | None = None) -> None:
        errors = [problem for problem in problems if problem.severity == "error"] or list(problems)
        message = str(errors[0]) if len(errors) == 1 else f"{what} has {len(errors)} problems"
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)
        self.first = errors[0]  # in the order of the file; a warning only where there is nothing else
