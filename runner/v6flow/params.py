"""Parameters as people give them: from the command line, files and the environment, read by their declared type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from v6flow.core import json, schema
from v6flow.core.check import nearest
from v6flow.core.problem import Problem
from v6flow.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from v6flow.core.json import Json
    from v6flow.core.model import Param, Workflow

ENVIRONMENT = "V6FLOW_PARAM_"

_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def resolve(
    workflow: Workflow,
    *,
    texts: Mapping[str, str] | None = None,
    values: Sequence[tuple[str, Mapping[str, Json]]] = (),
    environment: Mapping[str, str] | None = None,
) -> dict[str, Json]:
    """The value of every param of a workflow.

    `texts` (the command line) win over `values` (files as (name, mapping), later ones first), these over
    `environment` (`V6FLOW_PARAM_X`), and that over the default. Raises InvalidError with all that is wrong.
    """
    problems: list[str] = []
    found: dict[str, Json] = {}
    for source, name, value in _given(workflow, texts or {}, values, environment or {}, problems):
        param = workflow.params.get(name)
        if param is None:
            near = nearest(name, workflow.params)
            known = ", ".join(workflow.params) or "none"
            problems.append(f"{source}: no param {name!r}: this workflow has {known}" + (f" ({near})" if near else ""))
            continue
        found[name] = value
        problems.extend(f"{source}: {what}" for what in schema.param_problems(name, param.schema, value))
    for name, param in workflow.params.items():
        if name in found:
            continue
        if param.required:
            said = f": {param.description}" if param.description else ""
            problems.append(f"param {name} is required{said} (give it with --param {name}=…)")
        else:
            found[name] = param.schema["default"]
    if problems:
        file = workflow.document.name
        raise InvalidError([Problem(each, "param", file, workflow.document.position(("params",))) for each in problems],
                           what="the parameters")  # fmt: skip
    return {name: found[name] for name in workflow.params}


def _given(
    workflow: Workflow,
    texts: Mapping[str, str],
    values: Sequence[tuple[str, Mapping[str, Json]]],
    environment: Mapping[str, str],
    problems: list[str],
) -> Iterator[tuple[str, str, Json]]:
    """What was given, the weakest first, so that what comes later wins."""
    for param in workflow.params.values():
        for key in (ENVIRONMENT + param.name.upper(), ENVIRONMENT + param.name):
            if key in environment:
                yield from _read(key, param, environment[key], problems)
                break
    for file, mapping in values:
        for name, value in mapping.items():
            yield file, name, value
    for name, text in texts.items():
        if name in workflow.params:
            yield from _read("--param", workflow.params[name], text, problems)
        else:
            yield "--param", name, text


def _read(source: str, param: Param, text: str, problems: list[str]) -> Iterator[tuple[str, str, Json]]:
    try:
        yield source, param.name, read(param.schema, text)
    except ValueError as error:
        problems.append(f"{source}: param {param.name}: {error}")


def read(fragment: Mapping[str, Any], text: str) -> Json:
    """The value that a text stands for, by the declared type (that of the default, where none is declared).

    Raises ValueError if the text is nothing of any declared type.
    """
    declared = fragment.get("type", _type_of(fragment["default"]) if "default" in fragment else "string")
    types = [declared] if isinstance(declared, str) else list(declared)
    for kind in ("null", "boolean", "integer", "number", "array", "object", "string"):
        if kind in types:
            try:
                return _as(kind, text)
            except ValueError:
                continue
    raise ValueError(f"{text!r} is not {' or '.join(types)}")


def _as(kind: str, text: str) -> Json:  # noqa: PLR0912 - one case for each type
    stripped = text.strip()
    match kind:
        case "null" if stripped in ("null", "~"):
            return None
        case "boolean" if stripped in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return stripped.lower() == "true"
        case "integer" if _INTEGER.fullmatch(stripped) and len(stripped) <= json.MAX_DIGITS:
            return int(stripped)
        case "number" if _NUMBER.fullmatch(stripped):
            value = float(stripped)
            if value in (float("inf"), float("-inf")):
                raise ValueError("not finite")
            return int(stripped) if _INTEGER.fullmatch(stripped) else value
        case "array" | "object":
            value_ = json.loads(text)
            if isinstance(value_, list if kind == "array" else dict):
                return value_
        case "string":
            return text
    raise ValueError(f"not of type {kind}")


def _type_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
    return "string"
