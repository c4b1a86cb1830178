"""Params from the command line, files and the environment, parsed by their declared types."""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core import json
from v6flow.core.language import schema
from v6flow.core.language.messages import choice
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.language.redaction import is_secret
from v6flow.core.language.words import nearest, suggestion
from v6flow.core.patterns import pattern
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow

ENVIRONMENT = "V6FLOW_PARAM_"
_SHOWN = 60  # characters of a text that a message quotes

_INTEGER = pattern(r"-?(0|[1-9][0-9]*)")
_NUMBER = pattern(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {
    "null": "null", "boolean": "true or false", "integer": "a whole number", "number": "a number",
    "array": "a JSON list", "object": "a JSON mapping", "string": "text",
}  # fmt: skip


def resolve(
    workflow: Workflow,
    *,
    texts: Mapping[str, str] | None = None,
    values: Sequence[tuple[str, Mapping[str, Json]]] = (),
    environment: Mapping[str, str] | None = None,
) -> dict[str, Json]:
    """The value of every param of a workflow.

    `texts` (the command line) override `values` (files as (name, mapping), later ones first), these override
    `environment` (`V6FLOW_PARAM_X`), and that overrides the default. Raises InvalidError with all problems.
    """
    problems: list[tuple[str | None, str]] = []
    found: dict[str, tuple[str, Any]] = {}
    for source, name, value in _given(workflow, texts or {}, values, environment or {}):
        if name in workflow.params:
            found[name] = source, value
            continue
        near = suggestion(name, workflow.params)
        known = ", ".join(workflow.params) or "none"
        message = f"{source}: no param {name!r}: this workflow has {known}" + (f" ({near})" if near else "")
        problems.append((None, message))
    resolved: dict[str, Json] = {}
    for name, param in workflow.params.items():
        if name in found:
            source, value = found[name]
            try:
                resolved[name] = _read_given(name, param.schema, value) if isinstance(value, _Text) else value
                found_problems = schema.param_problems(name, param.schema, resolved[name])
                problems += [(name, f"{source}: {what}") for what in found_problems]
            except ValueError as error:
                problems.append((name, f"{source}: param {name}: {error}"))
        elif param.required:
            purpose = f": {param.description}" if param.description else ""
            problems.append((name, f"param {name} is required{purpose} (give it with --param {name}=…)"))
        else:
            resolved[name] = param.schema["default"]
    if problems:
        document = workflow.document
        raise InvalidError(
            [
                Problem(
                    told,
                    "param",
                    document.name,
                    document.key_position(("params", name) if name else ("params",)),
                    None if name is None else f"allowed: {allowed(workflow.params[name].schema)}",
                )
                for name, told in problems
            ],
            what="the parameters",
            hint=f"`v6flow run --help-params {shlex.quote(document.name)}` lists them",
        )
    return resolved


def check_file(workflow: Workflow, file: str, mapping: Mapping[str, Json]) -> None:
    """Check that a file has params of this workflow: a key that is, or resembles, a param. The message quotes no key.

    Raises UsageError.
    """
    if mapping and not any(name in workflow.params or nearest(name, workflow.params) for name in mapping):
        known = ", ".join(workflow.params) or "none"
        raise UsageError(
            f"{file} is not a params file of this workflow: none of its keys is a param",
            hint=f"the params are: {known}; the content of other files is not shown",
        )


def _read_given(name: str, fragment: Mapping[str, Any], given: _Text) -> Json:
    """The value of a param's text (see `read`); messages do not quote the text of a secret param."""
    try:
        return read(fragment, given.text)
    except ValueError as error:
        if fragment.get("writeOnly") or is_secret(name):
            raise ValueError("the text does not fit its type") from None
        raise ValueError(str(error)) from error


def read_several(workflow: Workflow, name: str, text: str) -> list[Json]:
    """The values of a param in a sweep: `age,bmi`, or a JSON list.

    Raises ValueError with the problem; unknown names are left to `resolve`.
    """
    try:
        values = json.loads(text) if text.lstrip().startswith("[") else None
    except json.JsonError as error:
        raise ValueError(f"not a JSON list: {error}") from error
    if values is None:
        pieces = [piece.strip() for piece in text.split(",")]
        if not all(pieces):
            raise ValueError("a value is missing before, after or between commas")
        fragment = workflow.params[name].schema if name in workflow.params else {}
        values = [read(fragment, piece) for piece in pieces]
    assert isinstance(values, list)  # it begins with [
    if not values:
        raise ValueError("the list of values is empty")
    return values


def sets(files: Sequence[Mapping[str, Json]], sweeps: Mapping[str, Sequence[Json]]) -> list[dict[str, Json]]:
    """Each set of params in `files` (or the empty set) combined with each product of `sweeps`, in order."""
    return [
        {**given, **dict(zip(sweeps, values, strict=True))}
        for given in files or [{}]
        for values in itertools.product(*sweeps.values())
    ]


def described(workflow: Workflow) -> list[dict[str, Json]]:
    """Each param of a workflow: its description, allowed values, and environment variable."""
    told: list[dict[str, Json]] = []
    for name, param in workflow.params.items():
        given: dict[str, Json] = {} if param.required else {"default": param.schema["default"]}
        told.append(
            {
                "name": name,
                "type": param.schema.get("type"),
                "required": param.required,
                **given,
                "description": param.description,
                "allowed": allowed(param.schema),
                "environment": ENVIRONMENT + name.upper(),
                "schema": dict(param.schema),
            }
        )
    return told


def allowed(fragment: Mapping[str, Any]) -> str:
    """The values that a fragment allows, in words: `a whole number from 2 to 10`."""
    if "enum" in fragment or "const" in fragment:
        return choice(fragment.get("enum", [fragment.get("const")]))
    declared = fragment.get("type", list(_WORDS))
    types = [declared] if isinstance(declared, str) else declared
    what = "any value" if len(types) == len(_WORDS) else choice([_WORDS[each] for each in types])
    told = [say(fragment[key]) for key, say in _LIMITS.items() if key in fragment]
    if "items" in fragment:
        told.append(f"with items: {allowed(fragment['items'])}")
    if "properties" in fragment:
        told.append(f"with {choice(fragment['properties'], 'and')}")
    return " ".join([what, *told])


_LIMITS: Mapping[str, Callable[[Any], str]] = {
    "minimum": lambda limit: f"from {limit}",
    "exclusiveMinimum": lambda limit: f"above {limit}",
    "maximum": lambda limit: f"up to {limit}",
    "exclusiveMaximum": lambda limit: f"below {limit}",
    "multipleOf": lambda limit: f"in steps of {limit}",
    "minLength": lambda limit: f"of at least {limit} characters",
    "maxLength": lambda limit: f"of at most {limit} characters",
    "pattern": lambda limit: f"that matches {limit}",
    "format": lambda limit: f"of the form {limit}",
    "minItems": lambda limit: f"of at least {limit} items",
    "maxItems": lambda limit: f"of at most {limit} items",
}


class _Text(Struct, frozen=True):
    """A text that is still to be parsed by the type of its param."""

    text: str


def _given(
    workflow: Workflow,
    texts: Mapping[str, str],
    values: Sequence[tuple[str, Mapping[str, Json]]],
    environment: Mapping[str, str],
) -> Iterator[tuple[str, str, Any]]:
    """The given params, lowest priority first: later ones override earlier ones."""
    for name in workflow.params:
        for key in (ENVIRONMENT + name.upper(), ENVIRONMENT + name):
            if key in environment:
                yield key, name, _Text(environment[key])
                break
    for file, mapping in values:
        for name, value in mapping.items():
            yield file, name, value
    for name, text in texts.items():
        yield "--param", name, _Text(text)


def read(fragment: Mapping[str, Any], text: str) -> Json:
    """The value of a text by the declared type (without one, by the type of the choices or the default).

    Raises ValueError if the text fits none of these types.
    """
    examples = fragment.get("enum") or [fragment[key] for key in ("const", "default") if key in fragment] or [""]
    declared = fragment.get("type") or [_type_of(example) for example in examples]
    types = [declared] if isinstance(declared, str) else list(dict.fromkeys(declared))
    if types == ["null"] and "type" not in fragment and "enum" not in fragment:
        types.append("string")  # a default of null does not restrict the type
    for kind in ("null", "boolean", "integer", "number", "array", "object", "string"):
        if kind in types:
            try:
                return _as(kind, text)
            except ValueError:
                continue
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    raise ValueError(f"{shown!r} is not {' or '.join(_WORDS[kind] for kind in types)}")


def _as(kind: str, text: str) -> Json:
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
