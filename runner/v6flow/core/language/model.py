"""A workflow as its file says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import json
from v6flow.core.expressions import ExpressionError, kind
from v6flow.core.roles import Role, fixed, free

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path
    from v6flow.core.roles import Roles


class Check(Struct, frozen=True):
    """A condition on a step or, with `each`, on what each organization answers; `message` is said where it fails."""

    at: Path
    condition: Template
    message: Template
    each: bool = False

    @property
    def key(self) -> Path:
        """The place of its condition."""
        return (*self.at, "each" if self.each else "that")

    def unmet(self, names: Mapping[str, object]) -> str | None:
        """What is said where it is not met, or cannot be judged; None where it is met."""
        try:
            found = self.condition.render(names)
        except ExpressionError as error:
            return f"it cannot be judged whether {bare(self.condition)}: {error.message}"
        if not isinstance(found, bool):
            return f"a check must be true or false, and {bare(self.condition)} is {kind(found)}"
        return None if found else self.said(names)

    def said(self, names: Mapping[str, object]) -> str:
        """Its message with its expressions filled in; as it is written, where that cannot be."""
        try:
            message = self.message.render(names)
        except ExpressionError:
            message = self.message.source
        return message if isinstance(message, str) else json.dumps(message)


def _conditions(checks: Iterable[Check], *, each: bool) -> Iterator[Any]:
    """The conditions of those checks that are, or are not, on what each organization answers."""
    return (check.condition.source for check in checks if check.each == each)


class Common(Struct, frozen=True):
    """What a step of any kind may say; `at` is its place in the document.

    The name of a nested step begins with that of the step it is nested in, `parent`: `fit.gradient`.
    """

    ROLES: ClassVar[Roles] = {
        "name": free("by which it is found", shown=True),
        "at": free("where it stands in the file"),
        "needs": free("when it is asked"),
        "on_failure": free("what becomes of the run when it fails", shown=True),
        "mixed_cohorts": free("what is accepted", shown=True),
        "allow_cross_site": free("what is accepted", shown=True),
        "description": free("for people"),
        "when": fixed("settled", shown=True),
        "checks": (
            Role(fixed="settled", shown=True, take=lambda checks: [*_conditions(checks, each=False)]),
            Role(fixed="asked", part="each", take=lambda checks: [*_conditions(checks, each=True)]),
        ),
        "output_schema": fixed(shown=True),
        "properties": fixed("settled", shown=True),
        "final": free("when it is asked", shown=True),
    }
    name: str
    at: Path
    needs: tuple[str, ...] = ()
    on_failure: str = "fail"
    mixed_cohorts: str | None = None
    allow_cross_site: str | None = None
    description: str = ""
    when: Template | None = None
    checks: tuple[Check, ...] = ()
    output_schema: Mapping[str, Any] | None = None
    properties: Template | None = None
    final: bool = False
    """Whether it is under `finally`: it is run once all others are over."""

    @property
    def parent(self) -> str:
        """The step that it is nested in, empty if in none."""
        return self.name.rpartition(".")[0]


def bare(template: Template) -> str:
    """An expression without its braces."""
    return str(template.source).strip().removeprefix("{{").removesuffix("}}").strip()


class Step:
    """A step of any kind, as its file says it: what all kinds share beside `common`, which each has."""

    __slots__ = ()

    kind: ClassVar[str]
    """The key of its kind."""

    asks: ClassVar[bool] = False
    """Whether it asks organizations."""

    common: Common

    @property
    def alias(self) -> str | None:
        """The name that its `as` gives to its iterations or items; None for most kinds."""
        return None

    @property
    def inner(self) -> Workflow | None:
        """The workflow of the other file that it runs; None for most kinds, and where that could not be read."""
        return None


class Planned:
    """A step of any kind, as it is planned: what all kinds share beside `common`, which each has."""

    __slots__ = ()

    kind: ClassVar[str]
    """The key of its kind."""

    origin: ClassVar[frozenset[str]] = frozenset()
    """What its results depend on that it does not say itself, by the names of `planning.question.Origin`."""

    common: Common

    @property
    def task(self) -> Any:
        """The `TaskPlan` of what it asks organizations; None if it asks none."""
        return None


class Param(Struct, frozen=True):
    """A parameter: its JSON Schema fragment; without a default it must be given."""

    name: str
    schema: Mapping[str, Any]

    @property
    def required(self) -> bool:
        return "default" not in self.schema

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))


class Output(Struct, frozen=True):
    """A named output, and why it may mix cohorts, if it may."""

    name: str
    at: Path
    value: Template
    mixed_cohorts: str | None = None


class Workflow(Struct, frozen=True, eq=False):
    """A workflow: its parameters, its steps in the file's order (those under `finally` last), its outputs.

    A nested step stands right behind the one it is nested in, under a name that begins with that one's.
    """

    document: Document
    name: str
    description: str
    params: Mapping[str, Param]
    federation: str | None
    defaults: Mapping[str, tuple[Path, Template]]
    steps: Mapping[str, Step]
    outputs: Mapping[str, Output]
    included: tuple[Document, ...] = ()
    """The files whose params and defaults are its own too, where it says nothing else."""
    preconditions: tuple[Check, ...] = ()
    doubtful: frozenset[tuple[str, str]] = frozenset()
    """The (section, name) of what is in the file and could not be read: nothing is said of what uses it."""

    @property
    def folder(self) -> str:
        """Where it stands, absolute or relative as its file was named; empty for the current folder."""
        return self.document.name.replace("\\", "/").rpartition("/")[0]

    def called(self) -> Iterator[tuple[Step, Workflow]]:
        """The workflows of other files that its steps run, each with its step."""
        for step in self.steps.values():
            if step.inner is not None:
                yield step, step.inner

    def asking(self) -> Iterator[Any]:
        """The steps that ask organizations, here and in the files that it names."""
        yield from (step for step in self.steps.values() if step.asks)
        for _, inner in self.called():
            yield from inner.asking()

    def asks_organizations(self) -> bool:
        """Whether any step asks organizations, here or in the files that it names."""
        return any(True for _ in self.asking())
