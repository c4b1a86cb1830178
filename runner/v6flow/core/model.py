"""A workflow as its file says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.steps import STEP_KINDS, Step
from v6flow.core.steps.base import Check, Common

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """A workflow: its parameters, its steps in the file's order (those under `finally` last), its outputs."""

    document: Document
    name: str
    description: str
    params: Mapping[str, Param]
    federation: str | None
    defaults: Mapping[str, tuple[Path, Template]]
    steps: Mapping[str, Step]
    outputs: Mapping[str, Output]
    preconditions: tuple[Check, ...] = ()
    doubtful: frozenset[tuple[str, str]] = frozenset()
    """The (section, name) of what stands in the file and could not be read: nothing is said of what uses it."""

    def uses_federation(self) -> bool:
        """Whether any step asks organizations."""
        return any(step.kind == "task" for step in self.steps.values())


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
        steps={
            **{name: _step(name, step, defaults, "steps") for name, step in raw["steps"].items()},
            **{
                name: _step(name, step, defaults, "finally")
                for name, step in raw.get("finally", {}).items()
                if name not in raw["steps"]  # a name that stands twice is told of by the check
            },
        },
        outputs={name: _output(name, value) for name, value in raw.get("outputs", {}).items()},
        preconditions=_checks(("preconditions",), raw.get("preconditions", ())),
        doubtful=doubtful,
    )


def _step(name: str, raw: dict[str, Any], defaults: Mapping[str, tuple[Path, Template]], section: str) -> Step:
    at: Path = (section, name)
    if len(raw) == 1:
        common = Common(name, at, final=section == "finally")
    else:
        common = Common(
            name,
            at,
            needs=tuple(raw.get("needs", ())),
            on_failure=raw.get("on_failure", "fail"),
            mixed_cohorts=raw.get("mixed_cohorts"),
            description=raw.get("description", ""),
            when=expressions.compile(raw["when"]) if "when" in raw else None,
            checks=_checks((*at, "checks"), raw.get("checks", ())),
            output_schema=raw.get("output_schema"),
            properties=expressions.compile(raw["properties"]) if "properties" in raw else None,
            final=section == "finally",
        )
    for key, kind in STEP_KINDS.items():
        if key in raw:
            step: Step = kind.parse(common, raw, defaults)
            return step
    raise AssertionError(f"a step without a kind passed the schema: {name}")


def _checks(at: Path, raw: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    return tuple(
        Check(
            (*at, index),
            expressions.compile(each["each"] if "each" in each else each["that"]),
            expressions.compile(each["message"]),
            each="each" in each,
        )
        for index, each in enumerate(raw)
    )


def _output(name: str, value: Json) -> Output:
    at: Path = ("outputs", name)
    if isinstance(value, dict) and "mixed_cohorts" in value:
        return Output(name, (*at, "value"), expressions.compile(value["value"]), value["mixed_cohorts"])
    return Output(name, at, expressions.compile(value))


def _stem(file: str) -> str:
    name = file.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] or "workflow"
