"""What every kind of step has, and what a kind must tell about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from v6flow.core import expressions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.language.problem import Path

Defaults: TypeAlias = "Mapping[str, tuple[Path, Template]]"
"""The settings of a file's `defaults`, by key: where each stands, and its template."""

PARAMS = frozenset({"params"})
ANYWHERE = frozenset({"params", "run", "federation"})
STEPS = ANYWHERE | {"steps"}
KWARGS = STEPS | {"organization"}
THIS = STEPS | {"this"}
EACH = frozenset({"params", "result", "organization"})

SETTLED = frozenset({"status", "error", "asked", "failed", "missing"})
"""Attributes that may be read whatever became of the step; any other waits for it to have completed."""

NOT_CARRYING = frozenset(
    {
        *("status", "error", "asked", "responded", "failed", "missing", "failures", "subtasks"),
        *("iterations", "converged", "completed", "skipped", "summary"),
    }
)
"""Attributes that tell how a step fared, and carry no cohort: they are not numbers computed from it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a step where expressions may stand, and the names they may use there.

    `inside`: it is evaluated where the rounds or items of this one are known, and if `nested` the steps in it too.
    """

    key: Path
    template: Template
    scope: frozenset[str]
    inside: bool = False
    nested: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a step or, with `each`, on what each organization answers; `message` is said where it fails."""

    at: Path
    condition: Template
    message: Template
    each: bool = False

    @property
    def key(self) -> Path:
        """The place of its condition."""
        return (*self.at, "each" if self.each else "that")


@dataclass(frozen=True, slots=True)
class Common:
    """What a step of any kind may say; `at` is its place in the document.

    The name of a nested step begins with that of the step it is nested in, `parent`: `fit.gradient`.
    """

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
    """Whether it stands under `finally`: it is run once all others are over."""

    @property
    def parent(self) -> str:
        """The step that it is nested in, empty if in none."""
        return self.name.rpartition(".")[0]


def common_fields(common: Common) -> Iterator[Field]:
    """Every place with an expression that a step of any kind may have."""
    if common.when is not None:
        yield Field((*common.at, "when"), common.when, STEPS)
    for check in common.checks:
        scope = EACH if check.each else THIS
        yield Field(check.key, check.condition, scope)
        yield Field((*check.at, "message"), check.message, scope)
    if common.properties is not None:
        yield Field((*common.at, "properties"), common.properties, THIS)


def common_needed(common: Common) -> Iterator[Template]:
    """The templates that make a step of any kind wait for what they reference."""
    if common.when is not None:
        yield common.when
    for check in common.checks:
        yield check.condition
        yield check.message
    if common.properties is not None:
        yield common.properties


def alias_problem(alias: str, taken: tuple[str, ...], key: Path, complain: Callable[..., None]) -> None:
    """Complain of an `as` that is no name, or the name of something else there."""
    what = f"{alias} has a meaning of its own here" if alias in taken else expressions.name_problem(alias)
    if what:
        complain(key, what, "name")


def misplaced(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys beside a step with nested ones that only steps which work by themselves can have."""
    return tuple(key for key in ("retry", "timeout", "cache", "output_schema") if key in raw)


class StepKind:
    """One kind of step: a subclass in a file of its own, with what it does not share with the others.

    It reads its steps from the file, reports what they use and offer, plans them, and runs them.
    """

    key: ClassVar[str]
    """The key that names the kind in a workflow file."""

    summary: ClassVar[str]
    """One line for people."""

    def parse(self, common: Common, raw: Mapping[str, Any], defaults: Defaults, /) -> Any:
        """The step that a mapping (sound by the schema) describes; `defaults` are those of its file."""
        raise NotImplementedError

    def nested(self, _raw: Mapping[str, Any], /) -> Mapping[str, Any]:
        """The steps nested in it, by name and as the file has them; none for most kinds."""
        return {}

    def fields(self, step: Any, /) -> Iterator[Field]:
        """Every place with an expression."""
        raise NotImplementedError

    def needed(self, step: Any, /) -> Iterable[Template]:
        """The templates that make the step wait for what they reference, but for those of `common_needed`."""
        raise NotImplementedError

    def needed_inside(self, _step: Any, /) -> Iterable[Template]:
        """The templates that are evaluated among the steps nested in it, and may refer to steps outside."""
        return ()

    def offers(self, step: Any, /) -> frozenset[str]:
        """The attributes that other steps may read."""
        raise NotImplementedError

    def check(self, step: Any, complain: Callable[..., None], /) -> None:
        """Report what no schema can, by `complain(key, message, rule, hint=…)`."""
