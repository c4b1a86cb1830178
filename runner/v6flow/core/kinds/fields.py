"""The places in a step where expressions may be, and the names that they may use there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.language.model import Common
    from v6flow.core.language.problem import Path

Defaults: TypeAlias = "Mapping[str, tuple[Path, Template]]"
"""The settings of a file's `defaults`, by key: where each stands, and its template."""

PARAMS = frozenset({"params"})
ANYWHERE = frozenset({"params", "run", "federation"})
STEPS = ANYWHERE | {"steps"}
KWARGS = STEPS | {"organization"}
THIS = STEPS | {"this"}
EACH = frozenset({"params", "result", "organization"})


class Field(Struct, frozen=True):
    """A place in a step where expressions may be, and the names they may use there.

    `inside`: it is evaluated where the iterations or items of this one are known, and if `nested` the steps in it too.
    """

    key: Path
    template: Template
    scope: frozenset[str]
    inside: bool = False
    nested: bool = True


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
