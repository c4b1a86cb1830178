"""A workflow as its file says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.steps import STEP_KINDS, Step
from v6flow.core.steps.base import Common

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.document import Document
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.problem import Path


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: its JSON Schema fragment; without a default it must be given."""

    name: str
    schema: Mapping[str, Any]

    @property
    def required(self) -> bool:
        return "default" not in self.schema

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))


@dataclass(frozen=True, slots=True)
class Output:
    """A named output, and why it may mix cohorts, if it may."""

    name: str
    at: Path
    value: Template
    mixed_cohorts: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """A workflow: its parameters, its steps in the file's order, its outputs."""

    document: Document
    name: str
    description: str
    params: Mapping[str, Param]
    federation: str | None
    defaults: Mapping[str, tuple[Path, Template]]
    steps: Mapping[str, Step]
    outputs: Mapping[str, Output]
    doubtful: frozenset[tuple[str, str]] = frozenset()
    """The (section, name) of what stands in the file and could not be read: nothing is said of what uses it."""

    def uses_federation(self) -> bool:
        """Whether any step asks organizations."""
        return any(step.kind != "local" for step in self.steps.values())


def parse(
    document: Document,
    part: Mapping[str, Any] | None = None,
    doubtful: frozenset[tuple[str, str]] = frozenset(),
) -> Workflow:
    """The workflow of a document that is sound by the schema, or of the sound part of one that is not."""
    raw: Mapping[str, Any] = document.value if part is None else part
    defaults = {key: (("defaults", key), expressions.compile(value)) for key, value in raw.get("defaults", {}).items()}
    return Workflow(
        document,
        name=raw["name"] if "name" in raw else _stem(document.name),
        description=raw.get("description", ""),
        params={name: Param(name, schema or {}) for name, schema in raw.get("params", {}).items()},
        federation=raw.get("federation"),
        defaults=defaults,
        steps={name: _step(name, step, defaults) for name, step in raw["steps"].items()},
        outputs={name: _output(name, value) for name, value in raw.get("outputs", {}).items()},
        doubtful=doubtful,
    )


def _step(name: str, raw: dict[str, Any], defaults: Mapping[str, tuple[Path, Template]]) -> Step:
    if len(raw) == 1:
        common = Common(name, ("steps", name))
    else:
        common = Common(
            name,
            ("steps", name),
            needs=tuple(raw.get("needs", ())),
            on_failure=raw.get("on_failure", "fail"),
            mixed_cohorts=raw.get("mixed_cohorts"),
            allow_cross_site=raw.get("allow_cross_site"),
            description=raw.get("description", ""),
        )
    for key, kind in STEP_KINDS.items():
        if key in raw:
            step: Step = kind.parse(common, raw, defaults)
            return step
    raise AssertionError(f"a step without a kind passed the schema: {name}")


def _output(name: str, value: Json) -> Output:
    at: Path = ("outputs", name)
    if isinstance(value, dict) and "mixed_cohorts" in value:
        return Output(name, (*at, "value"), expressions.compile(value["value"]), value["mixed_cohorts"])
    return Output(name, at, expressions.compile(value))


def _stem(file: str) -> str:
    name = file.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] or "workflow"
