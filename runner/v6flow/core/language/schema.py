"""A document against a JSON schema: what is wrong with it, in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import jsonschema_rs

from v6flow.core.language.messages import Violation, choice, clip, sentence, show, type_hint, value_hint
from v6flow.core.language.problem import Problem
from v6flow.core.language.redaction import is_secret
from v6flow.core.language.words import nearest, suggestion

if TYPE_CHECKING:
    from v6flow.core.json import Json
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path

MAX_PROBLEMS = 50  # nobody reads more, and explaining one takes far longer than finding that there is one
MAX_PATTERN = 1 << 20  # bytes of a compiled pattern: plenty, and `((a{1000}){1000}){1000}` is stopped

_FILES = {"v6flow": "workflow", "v6flow_federation": "federation", "v6flow_test": "test"}
_DATA = frozenset({"const", "default", "enum", "examples"})  # what is there is data, not a schema
_POINTERS = frozenset({"$ref", "$id", "id", "$schema"})
_RULES = {
    "minimum": "out-of-range",
    "exclusiveMinimum": "out-of-range",
    "minLength": "empty",
    "minItems": "empty",
    "minProperties": "empty",
    "uniqueItems": "duplicate-item",
}


def problems(document: Document, schema: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a document by a schema (draft 7), at most MAX_PROBLEMS, in the file's order."""
    if _fast(schema).is_valid(document.value):
        return []
    if wrong := _wrong_file(document, schema):
        return [wrong]
    found = dict.fromkeys(islice(_Explainer(document, schema).explain(), MAX_PROBLEMS))
    if not found:
        found[Problem("this does not fit the schema", "schema", document.name)] = None
    return sorted(found, key=lambda problem: problem.position)


def compile_param(fragment: Mapping[str, Any]) -> jsonschema_rs.Draft7Validator:
    """A validator for a param's fragment; patterns are matched in linear time and nothing is fetched.

    Raises ValueError, with the sentence, for a fragment that is no sound schema.
    """
    for pointer in _pointers(fragment):
        if not pointer.startswith("#/"):
            raise ValueError(f"{show(pointer)} leads out of the schema, and nothing is fetched")
    try:
        return _fast(fragment)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(_unsound(error, fragment)) from error
    except (jsonschema_rs.ReferencingError, UnicodeError, RecursionError) as error:
        raise ValueError(f"this is no sound schema: {error}") from error


def fragment_problems(fragment: Mapping[str, Any]) -> list[str]:
    """What keeps a param's fragment from being a sound schema, as sentences; empty for a sound one."""
    try:
        compile_param(fragment)
    except ValueError as error:
        return [str(error)]
    return []


def param_problems(name: str, fragment: Mapping[str, Any], value: Json) -> list[str]:
    """What is wrong with a param's value, as sentences that name the param; empty where it fits.

    Raises ValueError for a fragment that is no sound schema.
    """
    return value_problems(f"param {name}", {**fragment, "writeOnly": True} if is_secret(name) else fragment, value)


def value_problems(what: str, fragment: Mapping[str, Any], value: Json) -> list[str]:
    """What is wrong with a value by a fragment, as sentences that begin with `what`; empty where it fits.

    Raises ValueError for a fragment that is no sound schema.
    """
    validator = compile_param(fragment)
    try:
        if validator.is_valid(value):
            return []
        faults = list(islice(_faults(fragment, value), MAX_PROBLEMS))
    except (UnicodeError, RecursionError) as error:
        return [f"{what}: the value cannot be checked: {error}"]
    sentences = [f"{what}{_spell(fault.path)}: {sentence(fault)}" for fault in faults]
    shown = "the value" if fragment.get("writeOnly") else show(value)
    return sentences or [f"{what}: {shown} does not fit its schema"]


class _Explainer:
    """Turns the faults of a document into problems with places."""

    def __init__(self, document: Document, schema: Mapping[str, Any]) -> None:
        self._document = document
        self._schema = schema

    def explain(self) -> Iterator[Problem]:
        for fault in _faults(self._schema, self._document.value):
            if fault.of_key:
                yield self._bad_name(fault)
            elif fault.keyword in _OF_KEYS:
                if isinstance(fault.value, dict):  # else its type is wrong, which is another fault
                    yield from _OF_KEYS[fault.keyword](self, fault)
            else:
                hint = type_hint(fault, self._written(fault)) if fault.keyword == "type" else value_hint(fault)
                rule = "wrong-type" if fault.keyword == "type" else _RULES.get(fault.keyword, "bad-value")
                place = self._document.position(fault.path)
                yield Problem(sentence(fault), rule, self._document.name, place, hint)

    def _written(self, fault: Violation) -> str:
        """A number or a boolean as the file spells it: `1.10` and `True` are what a text in quotes has to say."""
        text = self._document.line(self._document.position(fault.path).line)
        found = re.match(r"[^\s,\[\]{}#]+", text[self._document.position(fault.path).column - 1 :])
        return found[0] if found else ""

    def unknown_keys(self, fault: Violation) -> Iterator[Problem]:
        allowed = fault.allowed()
        for key in fault.value:
            if key in allowed:
                continue
            at = (*fault.path, key)
            if home := self._home(fault, key):
                yield self._at_key(at, "misplaced-key", f"`{clip(key)}` does not belong here", home)
            else:
                hint = suggestion(key, allowed) or f"allowed here: {', '.join(allowed)}"
                yield self._at_key(at, "unknown-key", f"unknown key `{clip(key)}`", hint)

    def missing_keys(self, fault: Violation) -> Iterator[Problem]:
        for key in fault.limit:
            if key in fault.value or _is_misspelt(fault, [key]):
                continue
            where = _subject(fault.path)
            value = self._resolve(fault.allowed().get(key, {})).get("const", "…")
            yield self._at_key(fault.path, "missing-key", f"{where} has no `{key}`", f"write `{key}: {value}`")

    def one_of(self, fault: Violation) -> Iterator[Problem]:
        """Exactly one of some keys: the only thing for which the schemas use `oneOf`."""
        keys = [branch["required"][0] for branch in fault.limit]
        present = [key for key in fault.value if key in keys]
        subject = _subject(fault.path)
        if len(present) > 1:
            first, second = present[:2]
            message = f"{subject} has both `{first}` and `{second}`"
            yield self._at_key((*fault.path, second), "exclusive-keys", message, "keep one of them")
        elif not _is_misspelt(fault, keys):
            hint = f"write {choice([f'`{key}:`' for key in keys])}"
            yield self._at_key(fault.path, "missing-key", f"{subject} does not say what it is", hint)

    def exclusive_keys(self, fault: Violation) -> Iterator[Problem]:
        """Two keys that exclude each other: the only thing for which the schemas use `not`."""
        second = [key for key in fault.value if key in fault.limit["required"]][1]
        message = f"{choice([f'`{key}`' for key in fault.limit['required']], 'and')} exclude each other"
        yield self._at_key((*fault.path, second), "exclusive-keys", message, "keep one of them")

    def lonely_keys(self, fault: Violation) -> Iterator[Problem]:
        """Keys that are beside another one only."""
        for key, needed in fault.limit.items():
            if key not in fault.value or needed[0] in fault.value:
                continue
            if _is_misspelt(fault, needed):
                continue
            message = f"`{key}` is only for steps with `{needed[0]}`"
            yield self._at_key((*fault.path, key), "misplaced-key", message, "remove it")

    def _bad_name(self, fault: Violation) -> Problem:
        name = str(fault.value)
        expected = fault.schema.get("patternErrorMessage", "it is empty")
        right = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:63]
        free = (
            re.search(fault.schema.get("pattern", ""), "a/b") is not None
        )  # an image, say: which one is not ours to guess
        hint = f"write {right}" if right != name and re.match(r"[A-Za-z]", right) and not free else None
        at = (*fault.path, name)
        return self._at_key(at, "bad-name", f"`{clip(name)}` cannot be a key here: {expected}", hint)

    def _at_key(self, path: Path, rule: str, message: str, hint: str | None) -> Problem:
        return Problem(message, rule, self._document.name, self._document.key_position(path), hint)

    def _home(self, fault: Violation, key: str) -> str | None:
        """Where an unknown key would be right: inside a neighbour, or beside the mapping it is in."""
        for name, neighbour in fault.allowed().items():
            if name in fault.value and key in self._resolve(neighbour).get("properties", {}):
                return f"it belongs inside `{name}`"
        parent = fault.path[-1] if fault.path else None
        for definition in self._schema.get("$defs", {}).values():
            beside = definition.get("properties", {})
            if parent in beside and key in beside:
                return f"it belongs beside `{parent}`"
        return None

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        found: Mapping[str, Any] = self._schema.get("$defs", {}).get(name, schema)
        return found


_OF_KEYS: dict[str, Callable[[_Explainer, Violation], Iterator[Problem]]] = {
    "additionalProperties": _Explainer.unknown_keys,
    "required": _Explainer.missing_keys,
    "oneOf": _Explainer.one_of,
    "not": _Explainer.exclusive_keys,
    "dependencies": _Explainer.lonely_keys,
}


def _is_misspelt(fault: Violation, keys: list[str]) -> bool:
    """Whether one of these keys seems to be there, misspelt: then that is the fault, and is reported."""
    closed = fault.schema.get("additionalProperties") is False
    return closed and any(nearest(key, keys) for key in fault.value if key not in fault.allowed())


def _wrong_file(document: Document, schema: Mapping[str, Any]) -> Problem | None:
    expected = next((mark for mark in _FILES if mark in schema.get("properties", {})), None)
    other = next((mark for mark in document.value if mark in _FILES), None)
    if expected is None or other is None or expected in document.value:
        return None
    message = f"this is a {_FILES[other]} file, where a {_FILES[expected]} file is expected"
    place = document.key_position((other,))
    return Problem(message, "wrong-file", document.name, place, f"a {_FILES[expected]} file says `{expected}: 1`")


def _fast(schema: Mapping[str, Any]) -> jsonschema_rs.Draft7Validator:
    """The validator that answers yes or no."""
    options = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN, dfa_size_limit=MAX_PATTERN)
    return jsonschema_rs.Draft7Validator(
        dict(schema), pattern_options=options, retriever=_fetch_nothing, validate_formats=True
    )


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")


_Check: TypeAlias = Callable[[Any, Any, Any, Any], Iterator[Any]]


def _faults(schema: Mapping[str, Any], value: Any) -> Iterator[Violation]:
    """What is wrong with a value, by a validator that explains; imported only when something is wrong."""
    from jsonschema import Draft7Validator, validators

    # What has no bound in this validator is left to the other, or done here.
    checks: dict[str, _Check] = {name: _by_fast(name) for name in ("pattern", "format")}
    checks["uniqueItems"] = _unique_items
    explaining: Any = validators.extend(Draft7Validator, checks)  # type: ignore[no-untyped-call]  # as its stub is
    for error in explaining(dict(schema)).iter_errors(value):
        around = error.schema if isinstance(error.schema, dict) else {}
        of_key = "propertyNames" in list(error.absolute_schema_path)[-3:]
        path = tuple(error.absolute_path)
        yield Violation(str(error.validator), error.validator_value, error.instance, around, path, of_key)


def _by_fast(keyword: str) -> _Check:
    from jsonschema import ValidationError

    compiled: dict[str, jsonschema_rs.Draft7Validator] = {}

    def check(_: Any, limit: str, instance: Any, __: Any) -> Iterator[Any]:
        if limit not in compiled:
            compiled[limit] = _fast({keyword: limit})
        if not compiled[limit].is_valid(instance):
            yield ValidationError(keyword)

    return check


def _unique_items(_: Any, limit: bool, instance: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    seen: set[str] = set()
    for index, item in enumerate(instance if limit and isinstance(instance, list) else ()):
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            yield ValidationError("uniqueItems", path=[index], instance=item)
        seen.add(text)


def _pointers(fragment: Any) -> Iterator[str]:
    """All by which a fragment refers to something or names itself, and so might have something fetched."""
    if isinstance(fragment, Mapping):
        for key, item in fragment.items():
            if key in _POINTERS and isinstance(item, str):
                yield item
            elif key not in _DATA:
                yield from _pointers(item)
    elif isinstance(fragment, list):
        for item in fragment:
            yield from _pointers(item)


def _unsound(error: jsonschema_rs.ValidationError, fragment: Mapping[str, Any]) -> str:
    """Why a fragment is no sound schema, from the error of compiling it."""
    where = error.instance_path
    if where[-1:] == ["pattern"]:
        pattern: Any = fragment
        for part in where:
            pattern = pattern[part]
        why = "it is faulty or too large, or has look-around or back references, whose cost has no bound"
        return f"the pattern {show(pattern)} cannot be used: {why}"
    return f"{_spell(where)[1:] or 'this'} is no sound schema: {clip(error.message)}"


def _subject(path: Path) -> str:
    """What a message calls the mapping at a path."""
    if not path:
        return "the file"
    name = path[-1]
    if isinstance(name, int):
        return f"item {name + 1}"
    return f"the step `{clip(name)}`" if path[:-1] in (("steps",), ("finally",)) else f"`{clip(name)}`"


def _spell(path: Path | list[str | int]) -> str:
    return "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in path)
