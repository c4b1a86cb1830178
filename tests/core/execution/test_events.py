"""Every event comes back from a journal as it went in."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.execution import events as ev
from v6flow.core.execution.codec import decode, encode
from v6flow.core.execution.events import EVENTS, Event, Failure, Subtask

TEXT = st.text(max_size=5)
TIMES = st.floats(0, 2e9)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
MAYBE = st.none() | TEXT
FAILURES = st.builds(Failure, TEXT, TEXT, MAYBE, MAYBE, MAYBE, TEXT)
SUBTASKS = st.lists(st.builds(Subtask, TEXT, TEXT, TEXT, TEXT), max_size=2).map(tuple)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "at": TIMES, "down": TIMES, "deadline": st.none() | TIMES, "attempt": st.integers(1, 9), "exit_code": st.integers(0, 255),
    "asked": NAMES, "organizations": NAMES, "changed": NAMES, "retry": NAMES, "reset": NAMES, "approvers": NAMES, "gates": NAMES, "resubmit": NAMES, "failure": FAILURES,
    "subtasks": SUBTASKS, "carried": st.lists(st.tuples(TEXT, NAMES), max_size=2).map(tuple), "accepted": st.booleans(),
    "log": MAYBE, "properties": st.none() | st.dictionaries(TEXT, JSON, min_size=1, max_size=2),
    "key": MAYBE, "schedule": MAYBE, "planned": st.none() | TIMES, "labels": st.none() | st.dictionaries(TEXT, TEXT),
    "began": st.none() | TIMES, "size": st.none() | st.integers(0, 2**40), "image": MAYBE,
    "origin": st.none() | st.dictionaries(TEXT, TEXT), "inputs": st.none() | st.dictionaries(TEXT, JSON, max_size=2),
}  # fmt: skip
MAPPINGS = st.dictionaries(TEXT, JSON, max_size=2)
VALUES = {"RunStarted": MAPPINGS, "RunCompleted": MAPPINGS, "RunEnding": MAPPINGS, "RunResumed": st.none() | MAPPINGS}


def strategy(kind: type[Event]) -> st.SearchStrategy[Event]:
    given_ = {name: FIELDS.get(name, TEXT) for name in kind.__struct_fields__}
    if "value" in given_:
        given_["value"] = VALUES.get(kind.__name__, JSON)
    return st.fixed_dictionaries(given_).map(lambda values: kind(**values))


@given(st.one_of([strategy(kind) for kind in EVENTS.values()]))
def test_round_trip(event: Event) -> None:
    kind, data, value = encode(event)
    assert "value" not in data
    assert decode(kind, json.loads(json.dumps(data)), json.loads(json.dumps(value))) == event


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS.keys())
def test_what_has_its_default_is_left_out(kind: type[Event]) -> None:
    made: dict[str, Any] = {"at": 0.5, "failure": Failure("", ""), "value": {}}
    required = kind.__struct_fields__[: -len(kind.__struct_defaults__) or None]
    event = kind(**{name: made.get(name, ()) for name in required})
    assert set(encode(event)[1]) == set(required) - {"value"}


def test_failures_without_words_come_back() -> None:
    event = ev.TaskFailed(0.0, "a", "alpha", 1, Failure("", ""), None, (Subtask("", ""),))
    kind, data, value = encode(event)
    assert decode(kind, data, value) == event


def test_events_are_told_apart_by_name() -> None:
    assert encode(ev.CancelRequested(1.0)) == ("CancelRequested", {"at": 1.0}, None)
    with pytest.raises(KeyError):
        decode("RunExploded", {"at": 1.0}, None)
    with pytest.raises(TypeError):
        decode("RunCancelled", {"at": 1.0, "why": "?"}, None)
