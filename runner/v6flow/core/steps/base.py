"""What every kind of step has, and what a kind must tell about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.problem import Path

PARAMS = frozenset({"params"})
ANYWHERE = frozenset({"params", "run", "federation"})
STEPS = ANYWHERE | {"steps"}
KWARGS = STEPS | {"organization"}

SETTLED = frozenset({"status", "error", "asked", "failed", "missing"})
"""Attributes that may be read whatever became of the step; any other waits for it to have completed."""

NOT_CARRYING = frozenset({"status", "error", "asked", "responded", "failed", "missing", "failures", "subtasks"})
"""Attributes that tell how a step fared, and carry no cohort: they are not numbers computed from it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a step where expressions may stand, and the names they may use there."""

    key: Path
    template: Template
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class Common:
    """What a step of any kind may say; `at` is its place in the document."""

    name: str
    at: Path
    needs: tuple[str, ...] = ()
    on_failure: str = "fail"
    mixed_cohorts: str | None = None
    allow_cross_site: str | None = None
    description: str = ""


class Kind(Protocol):
    """One kind of step: reads it, tells what it uses and offers, and says what is wrong with it."""

    KEY: str
    """The key that names the kind."""

    SUMMARY: str
    """One line for people."""

    def parse(self, common: Common, raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
        """The step that a mapping (sound by the schema) describes; `defaults` are those of its file."""

    def fields(self, step: Any) -> Iterator[Field]:
        """Every place with an expression."""

    def offers(self, step: Any) -> frozenset[str]:
        """The attributes that other steps may read."""

    def check(self, step: Any, complain: Callable[..., None]) -> None:
        """Say what no schema can, by `complain(key, message, rule, hint=…)`."""
