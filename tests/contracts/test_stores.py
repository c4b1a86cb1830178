"""What every store must guarantee: its journals, leases, requests, lists of runs and notes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from table_store import LASTS, TableStore
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
from v6flow.errors import HeldError, JournalError, UsageError
from v6flow.stores.base import CancelRequest, DecisionRequest, Holder
from v6flow.stores.folder.sqlite import LARGE
from v6flow.stores.folder.store import FolderStore
from v6flow.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.execution.events import Event
    from v6flow.stores.base import Journal, Request, RunStore, StoredRun


class Stage:
    """A kind of store, and what ends its holders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = self.open()

    def open(self) -> RunStore:
        """The store, as another part of the program would open it."""
        raise NotImplementedError

    def hold_and_die(self, run: str) -> None:
        """Have somebody hold a run, who then dies."""
        raise NotImplementedError


class InFolder(Stage):
    """Each run in a folder; a process holds it."""

    def open(self) -> RunStore:
        return FolderStore(self.folder / "store")

    def hold_and_die(self, run: str) -> None:
        code = """
from v6flow.stores.folder.store import FolderStore
lease = FolderStore(sys.argv[1]).open(sys.argv[2]).lease(command="v6flow run")
print(flush=True)
sys.stdin.readline()
"""
        words = [sys.executable, "-c", "import sys" + code, str(self.folder / "store"), run]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
            assert child.stdout is not None
            child.stdout.readline()
            assert self.store.open(run).holder() == Holder(child.pid, "v6flow run", os.uname().nodename)
            child.kill()


class InMemory(Stage):
    """In this process; a thread holds a run."""

    def open(self) -> RunStore:
        return MemoryStore.shared(str(self.folder))

    def hold_and_die(self, run: str) -> None:
        thread = threading.Thread(target=self.store.open(run).lease)
        thread.start()
        thread.join()


class InTables(Stage):
    """In one database; a lease expires."""

    now = 1000.0

    def open(self) -> RunStore:
        return TableStore(str(self.folder / "tables.sqlite"), clock=lambda: self.now)

    def hold_and_die(self, run: str) -> None:
        self.store.open(run).lease()
        self.now += LASTS + 1


STAGES: dict[str, type[Stage]] = {"folder": InFolder, "memory": InMemory, "tables": InTables}


def new_journal(kind: str, folder: Path) -> Journal:
    run = STAGES[kind](folder).store.create("a-run")
    run.lease()
    return run.journal()


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


@pytest.fixture(params=sorted(STAGES))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    return STAGES[request.param](tmp_path)


@pytest.fixture
def store(stage: Stage) -> RunStore:
    return stage.store


@pytest.fixture
def run(store: RunStore) -> StoredRun:
    return store.create("average-20261121-0523-k3f9")


@pytest.fixture(params=sorted(STAGES))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    journal = new_journal(request.param, tmp_path)
    yield journal
    journal.close()


def answered(number: int, value: Any = None) -> Event:
    return TaskAnswered(float(number), "partial", f"org{number}", 1, value)


def test_begins_empty(journal: Journal) -> None:
    assert list(journal.events()) == []


def samples(kind: type[Event]) -> dict[str, Any]:
    """A value for each field."""
    return {name: SAMPLES[annotation] for name, annotation in kind.__annotations__.items()}


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_each_kind_comes_back_equal(journal: Journal, kind: str) -> None:
    event = EVENTS[kind](**samples(EVENTS[kind]))
    journal.append([event], durable=True)
    assert list(journal.events()) == [event]


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_each_kind_comes_back_with_its_defaults(journal: Journal, kind: str) -> None:
    defaults = len(EVENTS[kind].__struct_defaults__)
    required = EVENTS[kind].__struct_fields__[: -defaults or None]
    given = samples(EVENTS[kind])
    event = EVENTS[kind](**{name: given[name] for name in required})
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
            st.tuples(st.floats(0, 1e10), st.text(), json_values).map(lambda each: StepCompleted(*each))
            | st.tuples(st.floats(0, 1e10), st.text(), st.text(), st.dictionaries(st.text(), json_values)).map(
                lambda each: RunStarted(*each)
            ),
            max_size=4,
        ),
        st.booleans(),
    ),
    max_size=5,
)


@pytest.mark.parametrize("kind", ["folder", "memory"])
@settings(max_examples=25, deadline=None)
@given(batches=batches)
def test_whatever_is_appended_comes_back(kind: str, batches: list[tuple[list[Event], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = new_journal(kind, Path(folder))
        for events, durable in batches:
            journal.append(events, durable=durable)
        assert list(journal.events()) == [event for events, _ in batches for event in events]
        journal.close()


# Runs


def test_the_newest_run_is_first(store: RunStore) -> None:
    names = ["b-20261121-0523-aaaa", "a-20261121-0523-zzzz", "c-20261121-0523-bbbb"]
    assert store.runs() == []
    for name in names:
        assert store.create(name).id == name
    assert store.runs() == names[::-1]
    assert store.find().id == names[-1]


def test_all_who_open_a_store_see_the_same(stage: Stage, run: StoredRun) -> None:
    lease = run.lease()
    journal = run.journal()
    journal.append([answered(1)], durable=True)
    digest = journal.keep(b"a log")
    other = stage.open().find(run.id[:9])
    assert (other.id, other.store.name, other.place) == (run.id, stage.store.name, run.place)
    assert list(other.events()) == [answered(1)]
    assert other.fetch(digest) == b"a log"
    assert other.holder() == run.holder() is not None
    journal.close()
    lease.release()
    assert other.holder() is None


def test_an_id_may_be_shortened(store: RunStore) -> None:
    for name in ("average-20261121-0523-k3f9", "average-20261121-0524-aaaa", "cox-20261121-0523-k3f9", "cox"):
        store.create(name)
    assert store.find("average-20261121-0523").id == "average-20261121-0523-k3f9"
    assert store.find("cox").id == "cox"
    with pytest.raises(UsageError, match="several runs start with 'average'"):
        store.find("average")
    with pytest.raises(UsageError, match="no run starts with 'avrage'"):
        store.find("avrage")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", "a\0b", "-a", ".a", "a\n", "x" * 129])
def test_an_id_is_a_plain_name(store: RunStore, name: str) -> None:
    for use in (store.create, store.find, store.open):
        with pytest.raises(UsageError, match="is not the id of a run"):
            use(name)


def test_no_run_is_an_error(store: RunStore) -> None:
    for prefix in (None, "average"):
        with pytest.raises(UsageError, match="no runs in"):
            store.find(prefix)


def test_a_run_is_made_once(store: RunStore, run: StoredRun) -> None:
    lease = run.lease()
    run.journal().append([answered(1)], durable=True)
    lease.release()
    with pytest.raises(UsageError, match=f"there is a run {run.id} already"):
        store.create(run.id)
    assert list(run.events()) == [answered(1)]


def test_two_runs_share_nothing(store: RunStore, run: StoredRun) -> None:
    other = store.create("other")
    leases = [run.lease(), other.lease()]
    run.journal().append([answered(1)], durable=True)
    digest = run.journal().keep(b"a log")
    run.requests.post(CancelRequest("anna"))
    run.mark_over(True)
    (run.scratch / "note").touch()
    assert list(other.events()) == []
    assert (other.requests.pending(), other.over, list(other.scratch.glob("note"))) == ([], False, [])
    with pytest.raises(JournalError):
        other.fetch(digest)
    for lease in leases:
        lease.release()


def test_a_run_that_is_over_is_marked(stage: Stage, run: StoredRun) -> None:
    for over in (False, True, True, False):
        run.mark_over(over)
        assert stage.open().open(run.id).over is over


def test_scratch_stays_with_the_run(stage: Stage, run: StoredRun) -> None:
    (run.scratch / "note").write_text("a")
    assert (stage.open().open(run.id).scratch / "note").read_text() == "a"


def test_a_removed_run_is_gone(stage: Stage, store: RunStore, run: StoredRun) -> None:
    store.create("other")
    lease = run.lease()
    with pytest.raises(HeldError):
        stage.open().remove(run.id)
    lease.release()
    store.remove(run.id)
    assert store.runs() == ["other"]
    for use in (store.remove, lambda _: run.lease()):
        with pytest.raises(UsageError, match="is gone"):
            use(run.id)
    assert list(store.create(run.id).events()) == []


# Leases


def test_one_holds(stage: Stage, run: StoredRun) -> None:
    assert run.holder() is None
    lease = run.lease(command="v6flow run")
    assert run.holder() == Holder(os.getpid(), "v6flow run", os.uname().nodename)
    for _ in range(2):
        with pytest.raises(HeldError, match=f"the run {run.id} is held by process {os.getpid()} \\(v6flow run\\)"):
            stage.open().open(run.id).lease()
    lease.release()
    assert run.holder() is None


def test_releasing_twice_releases_once(stage: Stage, run: StoredRun) -> None:
    lease = run.lease()
    lease.release()
    second = stage.open().open(run.id).lease()
    lease.release()
    assert run.holder() is not None
    second.release()


def test_a_dead_holder_holds_nothing(stage: Stage, run: StoredRun) -> None:
    stage.hold_and_die(run.id)
    assert run.holder() is None
    run.lease().release()


def test_of_eight_threads_one_wins(stage: Stage, run: StoredRun) -> None:
    ready, said = threading.Barrier(8), list[str]()
    done = threading.Barrier(8)

    def hold() -> None:
        ready.wait()
        try:
            lease = stage.open().open(run.id).lease()
            said.append("won")
            done.wait()
            lease.release()
        except HeldError:
            said.append("lost")
            done.wait()

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [*["lost"] * 7, "won"]
    assert run.holder() is None


# Requests

ASKED: list[Request] = [
    CancelRequest("hannah é", 1.5, "script"),
    DecisionRequest("a", 1.0, "approved", "anna", "why\nnot", "terminal"),
    DecisionRequest("fit[2].b", 2.0, "rejected", "ben", ""),
]


def test_requests_wait_for_who_holds_the_run_next(stage: Stage, run: StoredRun) -> None:
    assert run.requests.pending() == []
    for request in reversed(ASKED):
        assert stage.open().open(run.id).requests.post(request) is None
    assert run.requests.pending() == ASKED


def test_a_request_replaces_the_one_before(run: StoredRun) -> None:
    for decision in ("approved", "rejected"):
        run.requests.post(DecisionRequest("a", 1.0, decision, "anna", ""))
    run.requests.post(CancelRequest("anna"))
    run.requests.post(CancelRequest("ben"))
    assert run.requests.pending() == [CancelRequest("ben"), DecisionRequest("a", 1.0, "rejected", "anna", "")]


def test_a_request_is_forgotten_by_its_subject(run: StoredRun) -> None:
    for request in ASKED:
        run.requests.post(request)
    run.requests.forget(DecisionRequest("a", 0.0, "", "", ""))
    assert run.requests.pending() == [ASKED[0], ASKED[2]]
    run.requests.forget(CancelRequest())
    run.requests.forget(CancelRequest())
    assert run.requests.pending() == [ASKED[2]]


def test_a_holder_hears_of_requests(stage: Stage, run: StoredRun) -> None:
    lease = run.lease()
    heard = threading.Event()
    with run.requests.listen(heard.set):
        holder = stage.open().open(run.id).requests.post(ASKED[0])
        assert heard.wait(60)
    assert holder == run.holder() is not None
    heard.clear()
    stage.open().open(run.id).requests.post(ASKED[1])
    assert not heard.is_set()
    lease.release()


# Notes


def test_notes_are_found_by_their_key(stage: Stage, store: RunStore, run: StoredRun) -> None:
    assert store.noted("steps/ab1") is None
    assert store.note("steps/ab1", b"1") is None
    assert store.note("ab1", b"2") is None
    assert store.note("ab1", b"3") is None
    assert (stage.open().noted("steps/ab1"), run.store.noted("ab1"), store.noted("b")) == (b"1", b"3", None)
