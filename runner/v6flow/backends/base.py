"""What a federation offers once it was reached: who there is, and a backend that asks organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from v6flow.core.checks.findings import Finding
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Subtask
    from v6flow.core.federation import Directory
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan
    from v6flow.errors import V6flowError


@dataclass(frozen=True, slots=True)
class Accepted:
    """The federation has taken the task; `remote` is its name there."""

    token: str
    remote: str


@dataclass(frozen=True, slots=True)
class Working:
    """An organization has begun to work on it: at the time `began`, if the federation records it.

    `began` is in seconds since 1970-01-01 UTC, by the federation's clock.
    """

    token: str
    organization: str
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What an organization's task run has dispatched, as far as it was seen by now; see `Answered`."""

    token: str
    organization: str
    subtasks: tuple[Subtask, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """An organization's result: the bytes that its algorithm wrote, which may still not be JSON.

    `subtasks` are all that its task run dispatched, each with its log as text where that is known, whether or not the
    request says that it is a central function. `hidden`: it may have dispatched some that we may not see. `image` is
    the digest of the image that ran, None where the federation does not record it.
    """

    token: str
    organization: str
    body: bytes
    log: str = ""
    subtasks: tuple[Subtask, ...] = ()
    hidden: bool = False
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An organization failed.

    `kind` is one of `crashed`, `garbage`, `start_failed`, `unknown`, `not_allowed`, `no_image`, `no_database`,
    `killed`, `consequence` (of another organization's failure, in the same task); the message says what happened in
    people's words (for `crashed`: the last line of the traceback). `own`: the message and the hint have nothing in them
    that an algorithm printed, raised or returned, so that they are shown where that is withheld.
    """

    token: str
    organization: str
    kind: str
    message: str
    log: str = ""
    hint: str | None = None
    subtasks: tuple[Subtask, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """All that is there under a token has been reported."""

    token: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a person should know and that stops nothing; `error` is what it came from, if anything."""

    message: str
    error: V6flowError | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The backend itself cannot go on; the run is interrupted with this error's exit code."""

    error: Exception


Report: TypeAlias = Accepted | Working | Dispatched | Answered | Failed | Looked | Noted | Broken


class Backend(Protocol):
    """Asks organizations. All methods are called from one thread; none of them waits for an organization.

    For each (token, organization) of a request, exactly one `Answered` or `Failed` is emitted in the end, unless
    the organization stays silent for ever or the token is killed first. `emit` may be called from any thread.

    What a task run dispatches is `Dispatched` when it is seen, before `Looked` at the latest. A task run that has ended
    leaves nothing behind: subtasks of it that are still open are ended before its end is reported, and that is `Noted`.
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

    def look(self, token: str) -> None:
        """Report what is there by now under a token that was submitted, subtasks included, then `Looked`.

        If the federation cannot be reached, not even after a while, `Broken` with UnreachableError is emitted instead.
        """

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        """Stop what these organizations do for this token, as far as that is possible; nothing is emitted for them.

        So are the subtasks that they dispatched: which were ended, and what could not be stopped, is `Noted`, at the
        latest before `close` returns.
        """

    def forget(self, token: str, organization: str) -> None:
        """Keep nothing here of what an organization answered under this token, nor of what it printed.

        That includes all that its task run dispatched. It may be called again, and after `close`.
        """

    def close(self) -> None:
        """End everything that this backend started here; what goes on elsewhere goes on."""


class Access(Protocol):
    """A federation that was reached: we are logged in, and names are known. Close it when done."""

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        """Who there is, and if wanted which studies and algorithm stores. Raises FederationError, UnreachableError."""

    def preflight(self, plan: Plan) -> list[Finding]:
        """What is to be said of the federation, and of what a plan needs of it, before anything is submitted."""

    def misfits(self, plan: Plan) -> list[Problem]:
        """What the steps of a plan call otherwise than the algorithms' descriptions say, where there are any."""

    def contents(self) -> str:
        """A digest of the data and the algorithms there at this moment; empty where they cannot be seen from here."""

    def backend(self, folder: Path, *, jobs: int | None = None) -> Backend:
        """A backend for the run that is kept in a folder, to be closed before this is."""

    def log(self, folder: Path, token: str, organization: str) -> str | None:
        """What an organization's task run has printed so far; None if nothing is known of one. For any thread."""

    def subtask_log(self, folder: Path, subtask: Subtask) -> str | None:
        """What a subtask's run has printed so far; None if nothing is known of it. For any thread."""

    def close(self) -> None:
        """Let go of it."""
