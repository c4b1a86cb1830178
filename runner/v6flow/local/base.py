"""What running a local step in a child process takes and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.execution.commands import LocalRequest


class AttemptAnswered(Struct, frozen=True):
    """The attempt ended well: its result as JSON text (still to be parsed), and what it printed."""

    step: str
    attempt: int
    body: bytes
    log: str = ""


class AttemptFailed(Struct, frozen=True):
    """The attempt failed; `kind` is `crashed`, `garbage`, `start_failed`, `timeout` or `memory`."""

    step: str
    attempt: int
    kind: str
    message: str
    log: str = ""
    hint: str | None = None


LocalReport: TypeAlias = AttemptAnswered | AttemptFailed


class Local(Protocol):
    """Runs local steps. Called from one thread; `start` does not wait. One report for each start, unless killed."""

    def open(self, emit: Callable[[LocalReport], None]) -> None:
        """Begin: from now on reports go to `emit`, from any thread."""

    def start(self, request: LocalRequest) -> None:
        """Start a child process for a request."""

    def kill(self, step: str) -> None:
        """End what runs for a step, with everything it started; nothing is reported for it."""

    def close(self) -> None:
        """End everything that still runs. When this process dies, however it dies, so does all that it started."""
