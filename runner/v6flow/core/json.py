"""JSON, read and written strictly: no duplicate keys, no surprises in size, depth or number."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"
"""A plain JSON value."""

MAX_DEPTH = 100  # nobody's result is nested deeper; a parser's stack is
MAX_DIGITS = 1000  # an integer of more digits is an attack on int(), not a number


_HALF_PAIR = "text with half a surrogate pair, which no UTF-8 can hold"


class JsonError(ValueError):
    """A text that is not the JSON we accept; the message says why, and `unquoted` does without any of the text."""

    def __init__(self, message: str, unquoted: str | None = None) -> None:
        """Without `unquoted` the message itself quotes nothing."""
        super().__init__(message)
        self.unquoted = unquoted or message


def loads(text: str | bytes, *, allow_nonfinite: bool = False) -> Json:
    """The value of a JSON text.

    Raises JsonError for: no JSON, duplicate keys, NaN or infinities (also `1e400`) unless allowed, nesting
    deeper than MAX_DEPTH, integers longer than MAX_DIGITS digits, text that is not UTF-8 or has lone surrogates.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        else:
            text.encode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise JsonError(_HALF_PAIR) from error
    if not text.strip():
        raise JsonError("empty")

    def constant(word: str) -> float:
        if not allow_nonfinite:
            raise JsonError(f"the number {word} is not finite")
        return float(word)

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value) and not allow_nonfinite:
            raise JsonError(f"the number {digits[:20]} is too large to be finite", "a number is too large to be finite")
        return value

    try:
        value: Json = json.loads(
            text, object_pairs_hook=_unique, parse_constant=constant, parse_float=number, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno} column {error.colno}"
        raise JsonError(f"not JSON: {error.msg} {where}", f"not JSON {where}") from error
    except RecursionError as error:
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise JsonError(_HALF_PAIR) from error
    return value


def dumps(value: Json, *, indent: int | None = None) -> str:
    """A JSON text, in the order given; NaN and infinities as `NaN`, `Infinity` (they are only here if allowed)."""
    separators = (",", ":") if indent is None else None
    return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)


def printable(value: Json) -> Json:
    """The value with NaN and infinities as the texts `NaN`, `Infinity`, `-Infinity`, for documents of strict JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


def canonical(value: Json) -> str:
    """A JSON text that is the same for equal values: sorted keys, no white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def digest(value: Json) -> str:
    """A short name of a value: equal values have equal ones."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"the key {key[:60]!r} stands twice in one object", "a key stands twice in one object")
            seen.add(key)
    return mapping


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"an integer of {len(digits)} digits")
    return int(digits)


def _check_depth(value: Json) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            if isinstance(container, (dict, list))
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise JsonError(f"nested deeper than {MAX_DEPTH} levels")
