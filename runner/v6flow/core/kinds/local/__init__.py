"""A `local` step: a function, a command or a value, computed where v6flow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions
from v6flow.core.kinds import commandline
from v6flow.core.kinds.base import StepKind
from v6flow.core.kinds.fields import PARAMS, STEPS, Field
from v6flow.core.kinds.settings import Retry, parse_cache, parse_retry, parse_timeout
from v6flow.core.language import units
from v6flow.core.language.model import Planned, Step
from v6flow.core.roles import fixed, free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.tracing import Tracing
    from v6flow.core.language.model import Common
    from v6flow.core.language.problem import Path
    from v6flow.core.roles import Roles

KEY = "local"

TIMEOUT = "1h"  # built in: nobody waits longer for a sum without saying so

_FROM_STEPS = frozenset({"steps", "each", "loop"})  # what they stand for may be what an organization answered
_EMPTY = expressions.compile({})


class LocalStep(Step, Struct, frozen=True):
    """What the file says: exactly one of `function`, `command` and `value` is not None."""

    kind: ClassVar[str] = KEY
    common: Common
    function: str | None = None
    command: Template | None = None
    value: Template | None = None
    kwargs: Template = _EMPTY
    files: tuple[str, ...] = ()
    timeout: Template | None = None
    retry: Template | None = None
    memory: Template | None = None
    cache: Template | None = None


class LocalPlan(Planned, Struct, frozen=True):
    """A local step with its settings resolved; what depends on other steps is still a template."""

    kind: ClassVar[str] = KEY
    origin: ClassVar[frozenset[str]] = frozenset({"source"})
    ROLES: ClassVar[Roles] = {
        "function": fixed(reuse="function", shown=True),
        "command": fixed(reuse="command", shown=True),
        "value": fixed(shown=True),
        "kwargs": fixed(reuse="kwargs", shown=True),
        "timeout": free("how long it may take", shown=True),
        "retry": free("how often the same is computed", shown=True),
        "memory": free("how much it may use", shown=True),
        "files": free("their contents are in its source"),
        "cache": free("how old a result of the same may be", shown=True),
        "folder": free("where its files are; their contents are in its source"),
    }
    common: Common
    function: str | None
    command: Template | None
    value: Template | None  # is never reused: nothing is quicker than to compute it
    kwargs: Template
    timeout: float | None
    retry: Retry
    memory: int | None
    files: tuple[str, ...] = ()
    cache: float | None = None
    """How long, in seconds, its result may be reused by later runs; None: not at all."""
    folder: str = ""
    """Absolute, that of its file; empty: that of the workflow that is run."""


def _bounds(step: LocalStep) -> tuple[tuple[str, Template | None], ...]:
    """What may be beside a function or a command, by its key."""
    return ("timeout", step.timeout), ("retry", step.retry), ("memory", step.memory), ("cache", step.cache)


def planned(steps: Mapping[str, Any]) -> dict[str, LocalPlan]:
    """Those of some planned steps that are local ones."""
    return {name: step for name, step in steps.items() if isinstance(step, LocalPlan)}


def words(step: LocalPlan) -> tuple[str, ...]:
    """The words of its command that are in the file as they are: a script may be among them."""
    return tuple(word for word in _words(step.command) if "{{" not in word)


def dashed(command: Template | None) -> tuple[int, ...]:
    """The words of a command, by index, whose values come from steps and could be read as options."""
    if command is None:
        return ()
    words = _words(command)
    computed = {reference.at[0] for reference in command.references if reference.root in _FROM_STEPS and reference.at}
    return tuple(
        index for index in range(1, len(words)) if index in computed and commandline.could_be_option(words, index)
    )


def _words(command: Template | None) -> tuple[str, ...]:
    """The words of a command as the file has them."""
    said = command.source if command is not None else None
    return tuple(map(str, said)) if isinstance(said, list) else ()


_ONCE = Retry()


class LocalKind(StepKind):
    """The kind `local`."""

    key = KEY
    plan_type = LocalPlan
    summary = "a function, a command or a value, computed where v6flow runs"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> LocalStep:
        """The local step of a mapping that is sound by the schema; defaults are for task steps only."""
        local = raw["local"]
        if len(raw) == 1 and len(local) == 1 and "value" in local:
            return LocalStep(common, value=expressions.compile(local["value"]))
        return LocalStep(
            common,
            function=local.get("function"),
            command=expressions.compile(local["command"]) if "command" in local else None,
            value=expressions.compile(local["value"]) if "value" in local else None,
            kwargs=expressions.compile(local["kwargs"]) if "kwargs" in local else _EMPTY,
            files=tuple(local.get("files", ())),
            timeout=expressions.compile(raw["timeout"]) if "timeout" in raw else None,
            retry=expressions.compile(raw["retry"]) if "retry" in raw else None,
            memory=expressions.compile(raw["memory"]) if "memory" in raw else None,
            cache=expressions.compile(raw["cache"]) if "cache" in raw else None,
        )

    def fields(self, step: LocalStep) -> Iterator[Field]:
        at = step.common.at
        for key, template in (("command", step.command), ("value", step.value), ("kwargs", step.kwargs)):
            if template is not None and template is not _EMPTY:
                yield Field((*at, "local", key), template, STEPS)
        for key, template in _bounds(step):
            if template is not None:
                yield Field((*at, key), template, PARAMS)

    def needed(self, step: LocalStep) -> Iterator[Template]:
        for template in (step.value, step.command, step.kwargs):
            if template is not None:
                yield template

    def check(self, step: LocalStep, complain: Callable[..., None]) -> None:
        for misuse in commandline.misuses(_words(step.command)):
            complain(("local", "command", misuse.index), misuse.message, "code-argument", hint=misuse.hint)
        if step.value is not None:
            for key, given in _bounds(step):
                if given is not None:
                    complain((key,), f"{key} is for a child process; a value is evaluated in place", "wrong-modifier",
                             hint=f"leave {key} out")  # fmt: skip
        elif step.common.allow_cross_site is not None:
            complain(("allow_cross_site",), "what a function or a command yields passes for an aggregate anyway",
                     "wrong-modifier", hint="leave allow_cross_site out")  # fmt: skip

    def function(self, step: LocalStep) -> tuple[Path, str, Template] | None:
        return (("local", "function"), step.function, step.kwargs) if step.function is not None else None

    def is_pure(self, step: LocalStep) -> bool:
        return step.value is not None

    def options(self, step: LocalStep) -> Iterator[Path]:
        return ((*step.common.at, "local", "command", index) for index in dashed(step.command))

    def trace(self, step: LocalStep, tracing: Tracing) -> None:
        """A function or a command makes an aggregate; a value is made of what it names."""
        if step.value is not None and step.common.allow_cross_site is None:
            tracing.note(step, tracing.flow(step.value, step.common.parent))

    def plan(self, step: LocalStep, planning: Planning) -> LocalPlan:
        known = planning.known
        memory = known(step.memory) if step.memory is not None else None
        return LocalPlan(
            step.common,
            step.function,
            step.command,
            step.value,
            step.kwargs,
            timeout=parse_timeout(known(step.timeout) if step.timeout is not None else TIMEOUT),
            retry=parse_retry(known(step.retry)) if step.retry is not None else _ONCE,
            memory=units.size(str(memory)) if memory is not None else None,
            files=step.files,
            cache=parse_cache(known(step.cache)) if step.cache is not None else None,
            folder=planning.folder,
        )


KIND = LocalKind()
