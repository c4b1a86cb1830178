"""A workflow as its file says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.kinds import STEP_KINDS, Step, TaskStep, WorkflowStep
from v6flow.core.kinds.base import Check, Common

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path


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
    """The (section, name) of what stands in the file and could not be read: nothing is said of what uses it."""

    @property
    def folder(self) -> str:
        """Where it stands, absolute or relative as its file was named; empty for the current folder."""
        return self.document.name.replace("\\", "/").rpartition("/")[0]

    def called(self) -> Iterator[tuple[WorkflowStep, Workflow]]:
        """The workflows of other files that its steps run, each with its step."""
        for step in self.steps.values():
            if isinstance(step, WorkflowStep) and step.inner is not None:
                yield step, step.inner

    def uses_federation(self) -> bool:
        """Whether any step asks organizations, here or in the files that it names."""
        return any(isinstance(step, TaskStep) for step in self.steps.values()) or any(
            inner.uses_federation() for _, inner in self.called()
        )


def parse(
    document: Document,
    part: Mapping[str, Any] | None = None,
    doubtful: frozenset[tuple[str, str]] = frozenset(),
    files: Mapping[str, Workflow] | None = None,
    included: Sequence[Document] = (),
) -> Workflow:
    """The workflow of a document that is sound by the schema, or of the sound part of one that is not.

    `files` are the workflows of the other files that its steps name, by those names; `included` are those whose
    params and defaults it has too, the last of which wins, and the file itself over all.
    """
    raw: Mapping[str, Any] = document.value if part is None else part
    defaults: dict[str, tuple[Path, Template]] = {}
    params: dict[str, Param] = {}
    for number, other in enumerate(included):
        for key, value in other.value.get("defaults", {}).items():
            defaults[key] = (("include", number), expressions.compile(value))
        params.update({name: Param(name, schema or {}) for name, schema in other.value.get("params", {}).items()})
    defaults.update(
        {key: (("defaults", key), expressions.compile(value)) for key, value in raw.get("defaults", {}).items()}
    )
    params.update({name: Param(name, schema or {}) for name, schema in raw.get("params", {}).items()})
    return Workflow(
        document,
        name=raw["name"] if "name" in raw else _stem(document.name),
        description=raw.get("description", ""),
        params=params,
        federation=raw.get("federation"),
        defaults=defaults,
        steps={name: _with_file(step, files or {}) for name, step in _all_steps(raw, defaults)},
        outputs={name: _output(name, value) for name, value in raw.get("outputs", {}).items()},
        included=tuple(included),
        preconditions=_checks(("preconditions",), raw.get("preconditions", ())),
        doubtful=doubtful,
    )


def _all_steps(raw: Mapping[str, Any], defaults: Mapping[str, tuple[Path, Template]]) -> Iterator[tuple[str, Step]]:
    """The steps of a file, those under `finally` last."""
    yield from _steps(raw["steps"], defaults)
    last = {name: step for name, step in raw.get("finally", {}).items() if name not in raw["steps"]}
    yield from _steps(last, defaults, at=("finally",))  # a name that stands twice is told of by the check


def _steps(
    raw: Mapping[str, Any], defaults: Mapping[str, tuple[Path, Template]], parent: str = "", at: Path = ("steps",)
) -> Iterator[tuple[str, Step]]:
    """The steps of a mapping, each with those nested in it behind it."""
    for short, each in raw.items():
        name = f"{parent}.{short}" if parent else short
        step = _step(name, (*at, short), each, defaults)
        yield name, step
        nested = STEP_KINDS[step.kind].nested(each)
        if nested:
            yield from _steps(nested, defaults, name, (*at, short, step.kind, "steps"))


def _with_file(step: Step, files: Mapping[str, Workflow]) -> Step:
    return replace(step, inner=files.get(step.file)) if isinstance(step, WorkflowStep) else step


def _step(name: str, at: Path, raw: dict[str, Any], defaults: Mapping[str, tuple[Path, Template]]) -> Step:
    if len(raw) == 1:
        common = Common(name, at, final=at[0] == "finally")
    else:
        common = Common(
            name,
            at,
            needs=tuple(raw.get("needs", ())),
            on_failure=raw.get("on_failure", "fail"),
            mixed_cohorts=raw.get("mixed_cohorts"),
            allow_cross_site=raw.get("allow_cross_site"),
            description=raw.get("description", ""),
            when=expressions.compile(raw["when"]) if "when" in raw else None,
            checks=_checks((*at, "checks"), raw.get("checks", ())),
            output_schema=raw.get("output_schema"),
            properties=expressions.compile(raw["properties"]) if "properties" in raw else None,
            final=at[0] == "finally",
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
