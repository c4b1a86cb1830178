"""JSON that comes from elsewhere: strict in numbers, keys, depth and characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core import json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
        st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)  # fmt: skip


@given(VALUES)
def test_what_is_written_is_read(value: json.Json) -> None:
    assert json.loads(json.dumps(value)) == value
    assert json.loads(json.dumps(value, indent=2).encode("utf-8")) == value
    assert json.loads(json.canonical(value)) == value


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_canonical_does_not_depend_on_the_order(value: dict[str, int]) -> None:
    assert json.canonical(value) == json.canonical(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        (b" \n", "empty"),
        ("{", "not JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        ("[1,\n 2,]", "not JSON: "),
        (b'"\xff"', "not UTF-8 text: invalid start byte at byte 1"),
        ('{"a": 1, "b": {"a": 2, "a": 3}}', "the key 'a' stands twice in one object"),
        ("NaN", "the number NaN is not finite"),
        ("[-Infinity]", "the number -Infinity is not finite"),
        ("1e400", "the number 1e400 is too large to be finite"),
        ("1" * 1001, "an integer of 1001 digits"),
        ('"\\ud800"', "half a surrogate pair"),
        ('{"\\udc00": 1}', "half a surrogate pair"),
        ('"\ud800"', "half a surrogate pair"),
        ("\ufeff1", "not JSON: "),
        ("[" * 100_000 + "]" * 100_000, "nested deeper than 100 levels"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested deeper than 100 levels"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ("'True'", "not JSON: "),
    ],
)
def test_refused(text: str | bytes, told: str) -> None:
    with pytest.raises(json.JsonError) as caught:
        json.loads(text)
    assert told in str(caught.value)


def test_limits_are_themselves_accepted() -> None:
    assert json.loads("9" * 1000) == int("9" * 1000)
    deep = json.loads("[" * 100 + "]" * 100)
    assert isinstance(deep, list)
    assert json.loads("[[]," * 99 + "1" + "]" * 99)


def test_long_keys_are_not_repeated_whole() -> None:
    key = "k" * 10_000
    with pytest.raises(json.JsonError) as caught:
        json.loads(f'{{"{key}": 1, "{key}": 2}}')
    assert len(str(caught.value)) < 120


def test_nonfinite_numbers_where_they_are_allowed() -> None:
    found = json.loads("[NaN, Infinity, -Infinity, 1e400]", allow_nonfinite=True)
    assert isinstance(found, list)
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, math.inf]
    assert json.dumps(found) == "[NaN,Infinity,-Infinity,Infinity]"


@pytest.mark.parametrize("text", ['"True"', '"007"', '"1_000"', '"[1,2]"', '"{{ 7*7 }}"', '"\\ud83d\\ude00"'])
def test_text_stays_text(text: str) -> None:
    assert isinstance(json.loads(text), str)
