"""What a kind of federation consists of: what its file says, access to it, and a backend that asks organizations."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from msgspec import Struct

from v6flow.core import policy
from v6flow.core.policy import NO_LIMITS, Policy
from v6flow.errors import FederationError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from v6flow.backends.existence import ExistenceCheck
    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Subtask
    from v6flow.core.json import Json
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Problem
    from v6flow.core.planning.plan import Plan


class Accepted(Struct, frozen=True):
    """The federation has taken the task; `remote` is its name there."""

    token: str
    remote: str


class Working(Struct, frozen=True):
    """An organization has begun to work on it: at the time `began`, if the federation records it.

    `began` is in seconds since 1970-01-01 UTC, by the federation's clock.
    """

    token: str
    organization: str
    began: float | None = None


class Dispatched(Struct, frozen=True):
    """What an organization's task run has dispatched, as far as it was seen by now; see `Answered`."""

    token: str
    organization: str
    subtasks: tuple[Subtask, ...]


class Answered(Struct, frozen=True):
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


class Failed(Struct, frozen=True):
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


class Looked(Struct, frozen=True):
    """All that is there under a token has been reported."""

    token: str


class Remarked(Struct, frozen=True):
    """Something that a person should know and that stops nothing; `error` is what it came from, if anything."""

    message: str
    error: V6flowError | None = None


class Broken(Struct, frozen=True):
    """The backend itself cannot continue; the run is interrupted with this error's exit code."""

    error: Exception


Report: TypeAlias = Accepted | Working | Dispatched | Answered | Failed | Looked | Remarked | Broken


class Backend(Protocol):
    """Asks organizations. All methods are called from one thread; none of them waits for an organization.

    For each (token, organization) of a request, exactly one `Answered` or `Failed` is emitted in the end, unless
    the organization stays silent for ever or the token is killed first. `emit` may be called from any thread.

    What a task run dispatches is `Dispatched` when it is seen, before `Looked` at the latest. A task run that has ended
    leaves nothing behind: subtasks of it that are still open are ended before its end is reported, and that is
    `Remarked`.
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

        So are the subtasks that they dispatched: which were ended, and what could not be stopped, is `Remarked`, at the
        latest before `close` returns.
        """

    def forget(self, token: str, organization: str) -> None:
        """Keep nothing here of what an organization answered under this token, nor of what it printed.

        That includes all that its task run dispatched. It may be called again, and after `close`.
        """

    def close(self) -> None:
        """End everything that this backend started here; what runs elsewhere continues."""


Planner: TypeAlias = "Callable[[Callable[..., Directory]], Plan]"
"""Makes a plan, given a function like `Access.directory`. Raises InvalidError, FederationError."""


class UploadedKey(Struct, frozen=True):
    """What became of the public key of an organization; keys are fingerprints.

    `old` is None if the server had none, or something that is no public key.
    """

    status: Literal["added", "kept", "replaced"]
    organization: str
    old: str | None
    new: str


class Access(ABC):
    """A federation that can be reached. Call `connect` before anything but `examine` and `upload_key`.

    It is made of its `Federation`, without contact. Close it when done.
    """

    def connect(self) -> None:  # noqa: B027 - a backend that is always there
        """Reach it: log in, look names up. Raises FederationError, AccessError, UnreachableError."""

    @abstractmethod
    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        """Who there is, and if wanted which studies and algorithm stores. Raises FederationError, UnreachableError."""

    @abstractmethod
    def backend(self, folder: Path, *, jobs: int | None = None) -> Backend:
        """A backend for the run that is kept in a folder, to be closed before this is."""

    def preflight(self, plan: Plan | None) -> list[Finding]:  # noqa: ARG002 - a backend that looks at nothing
        """Findings about the federation and about what a plan needs of it, before anything is submitted."""
        return []

    def examine(self, make: Planner | None) -> list[Finding]:
        """Findings about the federation, whatever is wrong with it, weighed by the plan that `make` makes."""
        from v6flow.core.checks import findings
        from v6flow.core.language.problem import InvalidError

        try:
            self.connect()
        except V6flowError as error:
            return [findings.of_error("federation", error)]
        plan, found = None, []
        try:
            plan = make(self.directory) if make is not None else None
        except InvalidError as error:
            found = findings.of_problems("workflow", error)
        except FederationError as error:
            found = [findings.of_error("workflow", error)]
        found += self.preflight(plan)
        return found if plan is None else findings.weigh(plan, found)

    def misfits(self, plan: Plan) -> list[Problem]:  # noqa: ARG002 - a backend whose algorithms have no descriptions
        """How the steps of a plan call algorithms differently from what their descriptions say, where there are any."""
        return []

    def contents(self) -> str:
        """A digest of the data and the algorithms there at this moment; empty where they cannot be seen from here."""
        return ""

    def log(self, folder: Path, token: str, organization: str) -> str | None:  # noqa: ARG002 - a backend without logs
        """What an organization's task run has printed so far; None if nothing is known of one. For any thread."""
        return None

    def subtask_log(self, folder: Path, subtask: Subtask) -> str | None:
        """What a subtask's run has printed so far; None if nothing is known of it. For any thread."""
        return self.log(folder, subtask.run, subtask.organization)

    def handed_on(self) -> dict[str, str]:
        """Environment variables by which another process can log in where nobody can be asked."""
        return {}

    def upload_key(self, *, replace: bool, announce: Callable[[list[str]], None]) -> UploadedKey | None:  # noqa: ARG002
        """Put the public key of our organization there, for others to encrypt for; None where nothing is encrypted.

        Another key stays, unless `replace` is given, which `announce` reports before.
        """
        return None

    def close(self) -> None:  # noqa: B027 - a backend that holds nothing open
        """Close all connections."""


class FederationFile(Struct, frozen=True):
    """A federation file that is sound by its schema: its absolute path, and what it says.

    `absolute` makes a path absolute that is relative to the file; `reveal` gives what a reference like `${env:X}`
    stands for, where that is no secret to be looked up at the last moment.
    """

    path: str
    raw: Mapping[str, Any]
    absolute: Callable[[str], str]
    reveal: Callable[[str], str]

    def shared(self) -> dict[str, Any]:
        """What all federation files may say, as keyword arguments of a `Federation`."""
        raw = self.raw
        given = {key: raw[key] for key in ("jobs", "defaults") if key in raw}
        return {"file": self.path, "policy": policy.parse(raw.get("policy", {})), **given}


class Federation(Struct, frozen=True, kw_only=True):
    """What a federation file says. Each backend has a subclass, found by the name in the file (see `backends.find`).

    Beside the module of the subclass stands `federation.schema.json`: the keys of such a file (see
    `backends.fragments`).
    """

    backend: ClassVar[str]
    """What federation files call this backend."""
    access_class: ClassVar[str]
    """The `Access` of this backend as `module:name`: it is imported when it is needed."""
    unencrypted: ClassVar[str] = "has a backend that encrypts nothing"
    """Why there is no key to upload, said after the name of the file, where `Access.upload_key` returns None."""
    outlives_program: ClassVar[bool] = True
    """Whether task runs continue when v6flow ends, and must be killed when a run is cancelled later."""

    file: str  # absolute
    jobs: int | None = None
    defaults: Mapping[str, Json] = {}
    policy: Policy = NO_LIMITS

    @classmethod
    def parse(cls, file: FederationFile) -> Self:
        """What a federation file says."""
        raise NotImplementedError

    @classmethod
    def problems(cls, document: Document) -> list[Problem]:  # noqa: ARG003 - a backend whose schema says it all
        """What the schema cannot say and is wrong with a file, found by looking at nothing else."""
        return []

    @classmethod
    def check_existence(cls, check: ExistenceCheck) -> None:
        """Let `check` look whether the files and secrets that a federation file names exist."""

    def directory(self) -> Directory | None:
        """Who there is, where the file says it all; None where only a connected `Access` knows."""
        return None

    def awaited(self) -> str | None:
        """Whom v6flow may be waiting for without saying so, as people know it; None for nobody."""
        return None

    def access(self) -> Access:
        """Access to it, not yet connected."""
        access: Access = imported(self.access_class)(self)
        return access


def imported(place: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
