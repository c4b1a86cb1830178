"""Expectations: when a value is as expected, and what is shown when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.testing.matching import MATCHERS, faults, match

if TYPE_CHECKING:
    from v6flow.core.json import Json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (3, 3.0),
        (3.0, 3),
        ({"a": [1, None, "x"]}, {"a": [1.0, None, "x"]}),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ("NaN", float("nan")),
        ({"approx": 3}, 3.0000000001),
        ({"approx": 1e12}, 1e12 + 100),
        ({"approx": [1, {"x": 2}], "tolerance": 0.1}, [1.05, {"x": 1.95}]),
        ({"approx": "text"}, "text"),
        ({"approx": 10**400}, 10**400),
        ({"matches": {"type": "number", "minimum": 3}}, 3),
        ({"matches": {}}, None),
        ({"equals": {"approx": 3}}, {"approx": 3}),
        ({"approx": {"equals": {"approx": 3}}}, {"approx": 3.0000000001}),
        ([{"matches": {"type": "string"}}, 2], ["x", 2]),
        ({"approx": 3, "more": 1}, {"approx": 3, "more": 1}),
    ],
)
def test_as_expected(expected: Json, found: Json) -> None:
    fits, filled = match(expected, found)
    assert fits
    assert repr(filled) == repr(found).replace("nan", "'NaN'")


@pytest.mark.parametrize(
    ("expected", "found", "shown"),
    [
        (3, 4, 3),
        (1, True, 1),
        (0, False, 0),
        (0, None, 0),
        ("3", 3, "3"),
        (True, 1, True),
        ([1, 2], [1], [1, 2]),
        ([1], [1, 2], [1]),
        ([], {}, []),
        ({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}),
        ({"a": {"approx": 3}, "b": 1}, {"a": 3.0000000001, "b": 2}, {"a": 3.0000000001, "b": 1}),
        ({"approx": 3}, 3.0001, 3),
        ({"approx": 3}, "3", 3),
        ({"approx": 3}, None, 3),
        ({"approx": 10**400}, 1, 10**400),
        ({"matches": {"type": "number"}}, "3", {"matches": {"type": "number"}}),
        ({"equals": {"approx": 3}}, 3, {"equals": {"approx": 3}}),
        ({"equals": [1]}, [1, 2], {"equals": [1]}),
    ],
)
def test_not_as_expected(expected: Json, found: Json, shown: Json) -> None:
    fits, filled = match(expected, found)
    assert not fits
    assert repr(filled) == repr(shown)


@given(JSON)
def test_every_value_is_as_itself(value: Json) -> None:
    assert match({"equals": value}, value) == (True, value)
    if not _has_matcher(value):
        assert match(value, value) == (True, value)


@given(JSON, JSON)
def test_what_is_shown_differs_just_if_it_does_not_fit(expected: Json, found: Json) -> None:
    fits, filled = match(expected, found)
    if not _has_matcher(expected):
        assert fits == (repr(filled) == repr(found))


def _has_matcher(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) in MATCHERS or any(map(_has_matcher, value.values()))
    return isinstance(value, list) and any(map(_has_matcher, value))


@pytest.mark.parametrize(
    ("expected", "places"),
    [
        ({"a": {"approx": 3, "tolerance": 0}, "b": [{"matches": {"type": "number"}}]}, []),
        ({"c": {"equals": {"matches": 1}}}, []),
        ({"a": {"approx": 3, "tolerance": -1}}, [("a", "tolerance")]),
        ([0, {"approx": 3, "tolerance": True}], [(1, "tolerance")]),
        ({"matches": "number"}, [("matches",)]),
        ({"matches": {"type": "numbr"}}, [("matches",)]),
        ({"matches": {"pattern": "("}}, [("matches",)]),
        ({"approx": [{"matches": 1}]}, [("approx", 0, "matches")]),
    ],
)  # fmt: skip
def test_faulty_matchers_have_a_place(expected: Json, places: list[tuple[str | int, ...]]) -> None:
    assert [place for place, _ in faults(expected)] == places
