"""What to do next: a closed union of commands, decided by the scheduler and carried out by the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.events import Event, LocalRequested, TaskRequested, Time
    from v6flow.core.execution.reuse import Key
    from v6flow.core.json import Json
    from v6flow.core.kinds.settings import DatabaseChoice


class TaskRequest(Struct, frozen=True):
    """One task to create; `kwargs` holds, for each organization asked, what the method gets there.

    `token` names this request for ever: the same token is the same question, to be answered at most once. `withheld`:
    what its task runs print is neither kept nor shown.
    """

    token: str
    step: str
    attempt: int  # from 1
    image: str
    method: str
    kwargs: Mapping[str, Mapping[str, Json]]
    databases: tuple[DatabaseChoice, ...] = ()
    name: str = ""
    description: str = ""
    central: bool = False
    study: str | int | None = None
    store: str | int | None = None
    withheld: bool = False


class LocalRequest(Struct, frozen=True):
    """One attempt of a local step: a function or a command, never both.

    `function` is `file.py:name` (relative to `folder`) or `package.module:name`; `kwargs` are its keyword arguments,
    or the input of the command. `timeout` is in seconds, `memory` in bytes of resident size of the whole process tree.
    """

    step: str
    attempt: int
    folder: str  # absolute: the workflow's folder, where a command runs
    function: str | None = None
    command: tuple[str, ...] | None = None
    kwargs: Mapping[str, Json] = field(default_factory=dict)
    timeout: float | None = None
    memory: int | None = None


class Record(Struct, frozen=True):
    """Write down what follows from what is known; nothing else happens."""

    event: Event


class Ask(Struct, frozen=True):
    """Ask organizations. `event` is the durable intent, None if it is already written down.

    `again`: this token may have been submitted before, so that what it became is looked for first.
    """

    request: TaskRequest
    event: TaskRequested | None
    again: bool = False


class StartLocal(Struct, frozen=True):
    """Start a local step's child process."""

    request: LocalRequest
    event: LocalRequested


class Kill(Struct, frozen=True):
    """Stop what organizations do for a token: nobody waits for it any longer."""

    token: str
    organizations: tuple[str, ...]


class Look(Struct, frozen=True):
    """See again what is there under a token: a deadline is judged only after that."""

    token: str


class KillLocal(Struct, frozen=True):
    """End a local step's child process."""

    step: str


class Recall(Struct, frozen=True):
    """See what an earlier run has of a step, answered no longer than `longest` seconds ago."""

    step: str
    key: Key
    longest: float


class Keep(Struct, frozen=True):
    """Have later runs find the result that a step has completed with."""

    step: str
    key: Key
    ended: Time  # when it completed


Command: TypeAlias = Record | Ask | StartLocal | Kill | Look | KillLocal | Recall | Keep
