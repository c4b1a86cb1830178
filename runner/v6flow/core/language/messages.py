"""What a value does wrong by a JSON schema, as a sentence with a remedy."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core.language import scalars
from v6flow.core.language.redaction import BLANK, SECRET_VALUE, is_secret
from v6flow.core.language.words import suggestion
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MUST_SAY = {"required", "oneOf", "minProperties"}  # with one of these, an empty mapping would not do
MAX_SHOWN = 60  # characters of a value that a message repeats

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


_COUNT = pattern(r"[1-9][0-9]{0,59}")


class Violation(Struct, frozen=True):
    """One keyword of a schema that a value does not fit; `limit` is what the keyword says.

    Of the schema around it are used: `patternErrorMessage` (what is expected, whatever else is there),
    `x-number-hint` (how a bare number could be meant), `x-words` (the words among the right values), `x-hints`
    (the remedies for some wrong texts), and
    `writeOnly` (a value never to be repeated).
    """

    keyword: str
    limit: Any
    value: Any
    schema: Mapping[str, Any]
    path: tuple[str | int, ...]
    of_key: bool = False
    """Whether it is the key `value` of the mapping at `path` that does not fit."""

    @property
    def secret(self) -> bool:
        """Whether the value is never to be repeated, by the schema or by the name of a key above it."""
        return bool(self.schema.get("writeOnly")) or any(isinstance(key, str) and is_secret(key) for key in self.path)

    def allowed(self) -> Mapping[str, Any]:
        """The keys that a mapping may have here, with their schemas."""
        properties: Mapping[str, Any] = self.schema.get("properties", {})
        return properties


def sentence(fault: Violation) -> str:
    """The fault as a sentence about the value, without its place."""
    got = describe(fault.value)
    shown = got if fault.secret else show(fault.value)
    expected = fault.schema.get("patternErrorMessage")
    if fault.keyword == "type":
        return f"{expected or f'expected {_types(fault.limit)}'}, got {got}"
    if expected and fault.keyword in {"pattern", "const"}:
        return f"{expected}, got {shown}"
    say = _SENTENCES.get(fault.keyword)
    return say(fault.limit, shown) if say else f"{shown} does not fit ({fault.keyword})"


_SENTENCES: dict[str, Callable[[Any, str], str]] = {
    "pattern": lambda limit, shown: f"expected text that matches {limit}, got {shown}",
    "enum": lambda limit, shown: f"expected {choice(limit)}, got {shown}",
    "const": lambda limit, shown: f"expected {show(limit)}, got {shown}",
    "format": lambda limit, shown: f"expected text of the form {limit}, got {shown}",
    "minimum": lambda limit, shown: f"expected a number from {limit}, got {shown}",
    "maximum": lambda limit, shown: f"expected a number up to {limit}, got {shown}",
    "exclusiveMinimum": lambda limit, shown: f"expected a number above {limit}, got {shown}",
    "exclusiveMaximum": lambda limit, shown: f"expected a number below {limit}, got {shown}",
    "multipleOf": lambda limit, shown: f"expected a multiple of {limit}, got {shown}",
    "minLength": lambda limit, _: "the text is empty" if limit == 1 else f"expected {limit} characters or more",
    "maxLength": lambda limit, _: f"expected at most {limit} characters",
    "minItems": lambda limit, _: "the list is empty" if limit == 1 else f"expected {limit} items or more",
    "maxItems": lambda limit, _: f"expected at most {limit} items",
    "minProperties": lambda _, __: "the mapping is empty",
    "uniqueItems": lambda _, shown: f"{shown} is in the list twice",
    "required": lambda limit, _: f"expected a mapping with {choice(limit, 'and')}",
    "additionalProperties": lambda _, __: "the mapping has keys that are not allowed",
}


def type_hint(fault: Violation, written: str) -> str | None:
    """How to write a value that has the wrong type, where that can be guessed; `written` is a number as it stands."""
    value, limit = fault.value, fault.limit
    accepted = {limit} if isinstance(limit, str) else set(limit)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fault.secret:
        return None
    if is_number and (spelling := fault.schema.get("x-number-hint")):
        return str(spelling).format(written) if _COUNT.fullmatch(written) else None
    if isinstance(value, str) and value:
        return _text_hint(value, accepted)
    if "string" in accepted and (is_number or isinstance(value, bool)):
        return f'put quotes around it: "{written}"'
    if value is None and accepted == {"object"} and not _MUST_SAY & fault.schema.keys():
        return "write {} where there is nothing to say"
    if isinstance(value, list) and accepted == {"object"}:
        return "write lines of `key: value` instead of items"
    return None


def _text_hint(value: str, accepted: set[str]) -> str | None:
    if "array" in accepted and re.fullmatch(r"[\w.-]{1,60}", value):
        return f"write [{value}]" if _stays_text(value) else f'write ["{value}"]'
    if "boolean" in accepted and value.lower() in _BOOLEANS:
        return f"write {_BOOLEANS[value.lower()]}"
    if accepted & {"integer", "number"} and re.fullmatch(r"-?(?:0|[1-9][0-9]{0,59})", value):
        return f"write {value} without quotes"
    return None


def value_hint(fault: Violation) -> str | None:
    """How to write a value that has a right type and is wrong nevertheless, where that can be guessed."""
    value = fault.value
    if not isinstance(value, str) or fault.secret or fault.keyword == "uniqueItems":
        return None
    if remedy := fault.schema.get("x-hints", {}).get(value):
        return str(remedy)
    options = fault.limit if fault.keyword == "enum" else fault.schema.get("x-words", [])
    if near := suggestion(value, [option for option in options if isinstance(option, str)]):
        return near
    named = fault.schema.get("type", "string")
    accepted = {named} if isinstance(named, str) else set(named)
    if value not in fault.schema.get("items", {}).get("enum", [value]):
        accepted.discard("array")  # it would be wrong in a list as well
    if hint := _text_hint(value, accepted):
        return hint
    spelling = fault.schema.get("x-number-hint")
    return str(spelling).format(value) if spelling and _COUNT.fullmatch(value) else None


def _stays_text(value: str) -> bool:
    """Whether a text without quotes is read as a text."""
    try:
        return isinstance(scalars.resolve(value), str)
    except scalars.OddScalarError:
        return False


def choice(values: Iterable[Any], word: str = "or") -> str:
    """Values as words: `a, b or c`."""
    texts = [value if isinstance(value, str) else show(value) for value in values]
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}" if len(texts) > 1 else "".join(texts)


def describe(value: Any) -> str:
    """What a value is, in YAML's words, without repeating it."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        return "text" if value else "an empty text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "a mapping"


def show(value: Any) -> str:
    """A value for a message: short, on one line, without control characters."""
    if isinstance(value, (list, dict)):
        return describe(value)
    return clip(SECRET_VALUE.sub(BLANK, json.dumps(value, ensure_ascii=False)))


def clip(text: str) -> str:
    """A text for a message, not too long."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _types(limit: str | list[str]) -> str:
    return choice([_TYPES[name] for name in ([limit] if isinstance(limit, str) else limit)])
