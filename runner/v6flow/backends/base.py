"""What a backend must do: ask organizations and report what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.commands import TaskRequest
    from v6flow.core.events import Subtask
    from v6flow.core.federation import Directory


@dataclass(frozen=True, slots=True)
class Accepted:
    """The federation has taken the task; `remote` is its name there."""

    token: str
    remote: str


@dataclass(frozen=True, slots=True)
class Working:
    """An organization has begun to work on it (for progress only)."""

    token: str
    organization: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An organization's result: the bytes that its algorithm wrote, which may still not be JSON."""

    token: str
    organization: str
    body: bytes
    log: str = ""
    subtasks: tuple[Subtask, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """An organization failed.

    `kind` is one of `crashed`, `garbage`, `start_failed`, `unknown`, `not_allowed`, `no_image`, `no_database`,
    `killed`; the message says what happened in people's words (for `crashed`: the last line of the traceback).
    """

    token: str
    organization: str
    kind: str
    message: str
    log: str = ""
    hint: str | None = None
    subtasks: tuple[Subtask, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """The backend itself cannot go on; the run is interrupted with this error's exit code."""

    error: Exception


Report: TypeAlias = Accepted | Working | Answered | Failed | Broken


class Backend(Protocol):
    """Asks organizations. All methods are called from one thread; none of them waits for an organization.

    For each (token, organization) of a request, exactly one `Answered` or `Failed` is emitted in the end, unless
    the organization stays silent for ever or the token is killed first. `emit` may be called from any thread.
    """

    def directory(self) -> Directory:
        """Who there is. Raises FederationError or UnreachableError."""

    def open(self, emit: Callable[[Report], None]) -> None:
        """Begin: from now on reports go to `emit`."""

    def submit(self, request: TaskRequest, *, again: bool) -> None:
        """Ask the organizations of a request.

        `again` is False only if this token cannot have been submitted before. With True, what exists under this
        token is adopted first: an answer that is there is reported, before this returns or before its `Accepted`,
        and nobody is asked; else they are asked. A deadline that passed meanwhile is judged only after that.
        """

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        """Stop what these organizations do for this token, as far as that is possible; nothing is emitted for them."""

    def close(self) -> None:
        """End everything that this backend started here; what goes on elsewhere goes on."""
