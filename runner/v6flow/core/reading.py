"""Reads a document into a workflow, with the kinds of steps that are registered."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language.model import Check, Common, Output, Param, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Step
    from v6flow.core.language.problem import Path, Position, Problem

_SECTIONS = ("params", "defaults", "steps", "finally", "outputs")


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
        steps={name: STEP_KINDS[step.kind].linked(step, files or {}) for name, step in _all_steps(raw, defaults)},
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


# ------------------------------------------------------------------------------- what a schema refuses in part


def sound_part(
    document: Document,
    problems: Iterable[Problem],
    files: Mapping[str, Workflow] | None = None,
    included: Sequence[Document] = (),
) -> Workflow | None:
    """The workflow without the steps, params, defaults and outputs that have problems; None if nothing is left of it.

    What was left out is in `doubtful`: its names are known, and nothing is said of what uses them.
    """
    raw = document.value
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), dict):
        return None
    entries = _entries(document, raw)
    starts = [start for start, _, _ in entries]
    doubtful = set()
    for problem in problems:
        index = bisect_right(starts, problem.position) - 1
        if index >= 0:
            doubtful.add(entries[index][1:])
    left: dict[str, Any] = {}
    for key, value in raw.items():
        if key in _SECTIONS and isinstance(value, dict):
            left[key] = {name: item for name, item in value.items() if (key, name) not in doubtful}
        elif (key, "") not in doubtful:
            left[key] = value
    return parse(document, left, frozenset(doubtful), files, included)


def _entries(document: Document, raw: dict[str, Any]) -> list[tuple[Position, str, str]]:
    """Where each entry of the file begins: (place, section, name); no name for what has no entries of its own."""
    entries = []
    for key, value in raw.items():
        entries.append((document.key_position((key,)), key, ""))
        if key in _SECTIONS and isinstance(value, dict):
            entries += [(document.key_position((key, name)), key, name) for name in value]
    return sorted(entries)
