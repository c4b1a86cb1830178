"""A `local` step: a function, a command or a value, computed where v6flow runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.checks import commandline
from v6flow.core.kinds.base import PARAMS, STEPS, Common, Field, StepKind
from v6flow.core.kinds.task import Retry, parse_cache, parse_retry, parse_timeout
from v6flow.core.language import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Defaults

KEY = "local"

TIMEOUT = "1h"  # built in: nobody waits longer for a sum without saying so

_OFFERS = frozenset({"status", "error", "result"})
_FROM_STEPS = frozenset({"steps", "each", "loop"})  # what they stand for may be what an organization answered
_EMPTY = expressions.compile({})


@dataclass(frozen=True, slots=True)
class LocalStep:
    """What the file says: exactly one of `function`, `command` and `value` is not None."""

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

    @property
    def kind(self) -> str:
        return KEY


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """A local step with its settings resolved; what depends on other steps is still a template."""

    common: Common
    function: str | None
    command: Template | None
    value: Template | None
    kwargs: Template
    timeout: float | None
    retry: Retry
    memory: int | None
    files: tuple[str, ...] = ()
    cache: float | None = None  # seconds for which its result may be reused by later runs; None: not at all
    folder: str = ""  # absolute: that of its file; empty: that of the workflow that is run

    @property
    def kind(self) -> str:
        return KEY


def _bounds(step: LocalStep) -> tuple[tuple[str, Template | None], ...]:
    """What may stand beside a function or a command, by its key."""
    return ("timeout", step.timeout), ("retry", step.retry), ("memory", step.memory), ("cache", step.cache)


def words(step: LocalPlan) -> tuple[str, ...]:
    """The words of its command that stand in the file as they are: a script may be among them."""
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

    def offers(self, _step: LocalStep) -> frozenset[str]:
        return _OFFERS

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

    def plan(self, step: LocalStep, known: Callable[[Template], Json]) -> LocalPlan:
        """The plan of a local step. Raises ValueError with what is wrong with a value."""
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
        )


KIND = LocalKind()
