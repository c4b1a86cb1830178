"""Comparison of JSON values with expectations that may contain matchers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from v6flow.core import json
from v6flow.core.language import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.json import Json
    from v6flow.core.language.problem import Path

TOLERANCE = 1e-9
"""The default tolerance of an approximate number: relative or absolute, whichever is larger."""

MATCHERS = ({"approx"}, {"approx", "tolerance"}, {"matches"}, {"equals"})
"""A mapping with exactly these keys is a matcher; the value of `equals` is literal."""


def match(expected: Json, found: Json) -> tuple[bool, Json]:
    """Whether a value is as expected, and the expectation with the found value in place of each matching part.

    The second differs from the found value only in the wrong parts. Numbers are equal regardless of type; NaN and
    infinities are the texts `NaN`, `Infinity` and `-Infinity`.
    """
    return _match(expected, json.printable(found), None)


def faults(expected: Any, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """The problems of the matchers in an expectation, each with its place."""
    if isinstance(expected, dict) and set(expected) in MATCHERS:
        if "matches" in expected:
            fragment = expected["matches"]
            if not isinstance(fragment, dict):
                yield (*at, "matches"), "expected a JSON Schema, which is a mapping"
            else:
                yield from (((*at, "matches"), fault) for fault in schema.fragment_problems(fragment))
        tolerance = expected.get("tolerance", TOLERANCE)
        if not _is_number(tolerance) or tolerance < 0:
            yield (*at, "tolerance"), "expected a number from 0"
        if "approx" in expected:
            yield from faults(expected["approx"], (*at, "approx"))
    elif isinstance(expected, dict):
        for key, item in expected.items():
            yield from faults(item, (*at, key))
    elif isinstance(expected, list):
        for index, item in enumerate(expected):
            yield from faults(item, (*at, index))


def _match(expected: Any, found: Any, tolerance: float | None) -> tuple[bool, Any]:
    if isinstance(expected, dict) and set(expected) in MATCHERS:
        return _judge(expected, found, tolerance)
    if isinstance(expected, dict) and isinstance(found, dict):
        filled = {key: _match(expected[key], item, tolerance) for key, item in found.items() if key in expected}
        lacking = {key: item for key, item in expected.items() if key not in found}
        fits = len(filled) == len(found) and not lacking and all(fit for fit, _ in filled.values())
        return fits, {key: item for key, (_, item) in filled.items()} | lacking
    if isinstance(expected, list) and isinstance(found, list):
        pairs = [_match(one, other, tolerance) for one, other in zip(expected, found, strict=False)]
        fits = len(expected) == len(found) and all(fit for fit, _ in pairs)
        return fits, [item for _, item in pairs] + expected[len(found) :]
    fits = _equal(expected, found, tolerance)
    return fits, found if fits else expected


def _judge(matcher: dict[str, Any], found: Any, tolerance: float | None) -> tuple[bool, Any]:
    if "approx" in matcher:
        return _match(matcher["approx"], found, matcher.get("tolerance", TOLERANCE))
    if "equals" in matcher:
        fits = _same(matcher["equals"], found, tolerance)
    else:
        fits = not schema.param_problems("", matcher["matches"], found)
    return fits, found if fits else matcher


def _same(expected: Any, found: Any, tolerance: float | None) -> bool:
    """Whether two values are equal, without matchers."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_same(expected[k], found[k], tolerance) for k in expected)
    if isinstance(expected, list) and isinstance(found, list):
        pairs = zip(expected, found, strict=False)
        return len(expected) == len(found) and all(_same(one, other, tolerance) for one, other in pairs)
    return _equal(expected, found, tolerance)


def _equal(expected: Any, found: Any, tolerance: float | None) -> bool:
    if not _is_number(expected) or not _is_number(found):
        return type(expected) is type(found) and bool(expected == found)
    if tolerance is None:
        return bool(expected == found)
    try:
        return math.isclose(expected, found, rel_tol=0.0, abs_tol=tolerance * max(1.0, abs(expected)))
    except OverflowError:  # an integer too large for a float
        return bool(expected == found)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
