"""What every journal must guarantee."""

from __future__ import annotations

import math
import tempfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow.core.execution.events import (
    EVENTS,
    Failure,
    RunCompleted,
    RunStarted,
    StepCompleted,
    StepFailed,
    Subtask,
    TaskAnswered,
)
from v6flow.errors import JournalError
from v6flow.stores.folder.sqlite import LARGE, SqliteJournal
from v6flow.stores.memory import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Journal

JOURNALS: dict[str, Callable[[Path], Journal]] = {
    "memory": lambda _: MemoryJournal(),
    "sqlite": lambda folder: SqliteJournal.create(folder / "journal.sqlite", "a-run"),
}

SAMPLES: dict[str, Any] = {
    "Time": 1.5e9,
    "Time | None": 1.6e9,
    "float": 0.25,
    "int": 2,
    "int | None": 3,
    "bool": True,
    "str": "é\u202e\x1b[1m \ud800 \x00",
    "str | None": "f" * 64,
    "Json": {"a": [1, None, -0.5]},
    "dict[str, Json]": {"b": {"c": "d"}},
    "dict[str, Json] | None": {"e": []},
    "Mapping[str, Json] | None": {"patients": 812},
    "Mapping[str, str] | None": {"database": "d1"},
    "list[list[Json]]": [["age", 1], ["bmi", None]],
    "tuple[str, ...]": ("alpha", "beta"),
    "tuple[tuple[str, tuple[str, ...]], ...]": (("partial", ("alpha",)), ("other", ())),
    "Failure": Failure("crashed", "no such column", "partial", "alpha", hint="look", log_tail="Traceback"),
    "Failure | None": Failure("no_quorum", "2 of 3", "partial"),
    "tuple[Subtask, ...]": (Subtask("alpha", "completed"), Subtask("beta", "failed", "why", "tail")),
}


@pytest.fixture(params=sorted(JOURNALS))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    journal = JOURNALS[request.param](tmp_path)
    yield journal
    journal.close()


def answered(number: int, value: Any = None) -> Event:
    return TaskAnswered(float(number), "partial", f"org{number}", 1, value)


def test_begins_empty(journal: Journal) -> None:
    assert list(journal.events()) == []


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_each_kind_comes_back_equal(journal: Journal, kind: str) -> None:
    event = EVENTS[kind](**{field.name: SAMPLES[str(field.type)] for field in fields(EVENTS[kind])})
    journal.append([event], durable=True)
    assert list(journal.events()) == [event]


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_each_kind_comes_back_with_its_defaults(journal: Journal, kind: str) -> None:
    required = {field.name: SAMPLES[str(field.type)] for field in fields(EVENTS[kind]) if field.default is MISSING}
    event = EVENTS[kind](**required)
    journal.append([event], durable=True)
    assert list(journal.events()) == [event]


def test_a_failure_without_a_message_comes_back(journal: Journal) -> None:
    events = [StepFailed(1.0, "partial", Failure("crashed", ""))]
    journal.append(events, durable=True)
    assert list(journal.events()) == events


def test_keeps_the_order_over_several_appends(journal: Journal) -> None:
    events = [answered(number, number) for number in range(2500)]
    journal.append(events[:1], durable=True)
    journal.append(events[1:1200], durable=False)
    journal.append([], durable=True)
    journal.append(events[1200:], durable=True)
    assert list(journal.events()) == events
    assert list(journal.events()) == events


@pytest.mark.parametrize(
    "value",
    [
        None,
        False,
        0,
        "",
        [],
        {},
        -0.0,
        1e-320,
        10**900,
        math.inf,
        -math.inf,
        [1, 1.0],
        "\ud83d",
        "\x00",
        "null",
    ],
    ids=repr,
)
def test_a_value_is_not_changed(journal: Journal, value: Any) -> None:
    journal.append([answered(1, value), answered(2, [value])], durable=True)
    first, second = journal.events()
    assert isinstance(first, TaskAnswered)
    assert repr(first.value) == repr(value)
    assert second == answered(2, [value])


def test_not_a_number_survives(journal: Journal) -> None:
    journal.append([answered(1, {"mean": math.nan})], durable=True)
    (event,) = journal.events()
    assert isinstance(event, TaskAnswered)
    assert isinstance(event.value, dict)
    assert math.isnan(event.value["mean"])


def test_large_values_come_back(journal: Journal) -> None:
    events = [answered(length, "é" * length) for length in (LARGE // 6 - 1, LARGE // 6, LARGE, 2 * LARGE)]
    journal.append(events, durable=True)
    assert list(journal.events()) == events


def test_what_was_appended_does_not_change_with_its_values(journal: Journal) -> None:
    value: dict[str, Any] = {"rows": [1]}
    journal.append([RunCompleted(1.0, value)], durable=True)
    value["rows"].append(2)
    assert list(journal.events()) == [RunCompleted(1.0, {"rows": [1]})]
    (event,) = journal.events()
    assert isinstance(event, RunCompleted)
    event.value.clear()
    assert list(journal.events()) == [RunCompleted(1.0, {"rows": [1]})]


def test_adds_all_or_nothing(journal: Journal) -> None:
    journal.append([answered(1)], durable=True)
    with pytest.raises(TypeError):
        journal.append([answered(2), answered(3, object()), answered(4)], durable=True)
    journal.append([answered(5)], durable=True)
    assert list(journal.events()) == [answered(1), answered(5)]


def test_reading_is_not_disturbed_by_writing(journal: Journal) -> None:
    journal.append([answered(1), answered(2)], durable=True)
    events = journal.events()
    assert next(events) == answered(1)
    journal.append([answered(3)], durable=True)
    assert list(events) == [answered(2)]


def test_keeps_bodies_by_their_digest(journal: Journal) -> None:
    bodies = [b"", b"a log", b"\x00\xff" * 300_000]
    digests = [journal.keep(body) for body in bodies]
    assert [journal.keep(body) for body in bodies] == digests
    assert [journal.fetch(digest) for digest in digests] == bodies
    assert len(set(digests)) == 3


@pytest.mark.parametrize("digest", ["", "0" * 64, "../journal.sqlite", "/etc/passwd", "\x00", "A" * 64])
def test_refuses_a_digest_of_nothing(journal: Journal, digest: str) -> None:
    journal.keep(b"something")
    with pytest.raises(JournalError):
        journal.fetch(digest)


def test_closing_twice_is_closing(journal: Journal) -> None:
    journal.append([answered(1)], durable=False)
    journal.close()
    journal.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
batches = st.lists(
    st.tuples(
        st.lists(
            st.builds(StepCompleted, st.floats(0, 1e10), st.text(), json_values)
            | st.builds(RunStarted, st.floats(0, 1e10), st.text(), st.text(), st.dictionaries(st.text(), json_values)),
            max_size=4,
        ),
        st.booleans(),
    ),
    max_size=5,
)


@pytest.mark.parametrize("kind", sorted(JOURNALS))
@settings(max_examples=25, deadline=None)
@given(batches=batches)
def test_whatever_is_appended_comes_back(kind: str, batches: list[tuple[list[Event], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = JOURNALS[kind](Path(folder))
        for events, durable in batches:
            journal.append(events, durable=durable)
        assert list(journal.events()) == [event for events, _ in batches for event in events]
        journal.close()
