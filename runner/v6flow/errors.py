"""The errors of v6flow: one root, and one exit code for each family."""

from __future__ import annotations

from typing import ClassVar


class V6flowError(Exception):
    """An error that ends the program: what happened and where (`message`), and what to do next (`hint`).

    A failing step is an event, not an error.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(V6flowError):
    """The command line is invalid or cannot be carried out (exit 2)."""

    exit_code = 2
    kind = "usage"


class FederationError(UsageError):
    """A federation file cannot be used, or names something that does not exist (exit 2)."""

    kind = "federation"


class ResumeError(UsageError):
    """A resume does not fit its run (exit 2)."""

    kind = "resume"


class JournalError(UsageError):
    """A journal is missing, unreadable, of a newer version, or damaged (exit 2)."""

    kind = "journal"


class AccessError(V6flowError):
    """Log-in failed or a permission is missing (exit 4)."""

    exit_code = 4
    kind = "access"


class UnreachableError(V6flowError):
    """The server cannot be reached; the run is resumable (exit 5)."""

    exit_code = 5
    kind = "unreachable"


class NoSpaceError(V6flowError):
    """The journal cannot be written; the run is resumable (exit 5)."""

    exit_code = 5
    kind = "no_space"


class PersonNeededError(V6flowError):
    """Only a person can decide: the result of a submission is unknown, or server and journal disagree (exit 6)."""

    exit_code = 6
    kind = "person_needed"


class HeldError(V6flowError):
    """Another process holds this run (exit 75)."""

    exit_code = 75
    kind = "held"


class InterruptedRunError(KeyboardInterrupt):
    """Ctrl-C, or Stop in a notebook, interrupted the program; its run can be resumed (exit 130).

    It is a KeyboardInterrupt and not an Exception, so it also ends a loop with `except Exception`.
    `run` is the id of the run, None if none had begun; `hint` is how to resume it.
    """

    exit_code: ClassVar[int] = 130
    kind: ClassVar[str] = "interrupted"

    def __init__(self, message: str, *, hint: str | None = None, run: str | None = None) -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.run = run


class TerminatedRunError(SystemExit):
    """SIGTERM or a lost terminal (SIGHUP) ended the program; its run can be resumed (exit 143).

    Uncaught, it ends the program with exit code 143, as the signal would. It is not an Exception either.
    `run` is the id of the run; `hint` is how to resume it.
    """

    exit_code: ClassVar[int] = 143
    kind: ClassVar[str] = "terminated"

    def __init__(self, message: str, *, hint: str | None = None, run: str | None = None) -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.code = self.exit_code
        self.message = message
        self.hint = hint
        self.run = run
