"""Results of earlier runs: found where they are, and never another."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from v6flow.core.execution import events as ev
from v6flow.core.execution.reuse import Basis, Kept, Key, ReusableAnswer
from v6flow.stores.folder.store import FolderStore, RunFolder
from v6flow.stores.results import EarlierResults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86400.0
KEY = Key({"image": "i", "kwargs": "aa"})
OTHER = Key({"image": "i", "kwargs": "bb"})


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def write(folder: RunFolder, *events: ev.Event) -> None:
    journal = folder.journal()
    journal.append(events, durable=True)
    journal.close()


def answered_run(store: FolderStore, name: str = "w-1", value: Any = 1, *, at: float = 1000.0) -> RunFolder:
    """A run of which a task step has completed."""
    folder = store.create(name)
    write(
        folder,
        ev.RunStarted(at, name, "w", {}),
        ev.StepStarted(at, "s", ("alpha", "beta")),
        ev.TaskAnswered(at + 1, "s", "alpha", 1, value),
        ev.TaskAnswered(at + 2, "s", "beta", 1, value),
        ev.StepCompleted(at + 3, "s"),
    )
    return folder


def results(
    folder: RunFolder, *, reads: bool = True, still: Callable[[str, Key], bool] = lambda *_: True
) -> EarlierResults:
    return EarlierResults(folder, "w", Basis(), still=still, reads=reads)


def test_what_one_run_keeps_another_finds(store: FolderStore) -> None:
    assert results(answered_run(store)).keep("s", KEY, 1003.0) is None
    found = results(store.create("w-2")).find("s", KEY, DAY, 2000.0)
    assert found == Kept("w-1", "s", 1003.0, 1001.0, None, {"alpha": ReusableAnswer(1), "beta": ReusableAnswer(1)})


def test_nothing_is_known_of_a_step_that_was_never_kept(store: FolderStore) -> None:
    assert results(store.create("w-2")).find("s", KEY, DAY, 2000.0) == "no earlier run has a result of it"


def test_what_changed_since_is_told(store: FolderStore) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    found = results(store.create("w-2")).find("s", OTHER, DAY, 2000.0)
    assert found == "since run w-1, this changed: kwargs"
    found = results(store.create("w-3")).find("s", Key({**KEY.parts, "data": "d"}), DAY, 2000.0)
    assert found == "since run w-1, this changed: data or algorithms"


@pytest.mark.parametrize(("longest", "is_found"), [(999.0, True), (998.9, False)])
def test_it_is_as_old_as_its_oldest_answer(store: FolderStore, longest: float, is_found: bool) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    found = results(store.create("w-2")).find("s", KEY, longest, 2000.0)
    assert isinstance(found, Kept) is is_found
    if not is_found:
        assert found == "the result of run w-1 is too old: it was answered 16m39s ago"


def test_a_clock_that_was_set_back_finds_nothing(store: FolderStore) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    found = results(store.create("w-2")).find("s", KEY, DAY, 1000.0)
    assert found == "the result of run w-1 is from the future by this clock"


def test_no_cache_finds_nothing_and_keeps_all(store: FolderStore) -> None:
    results(answered_run(store), reads=False).keep("s", KEY, 1003.0)
    assert results(store.create("w-2"), reads=False).find("s", KEY, DAY, 2000.0) == (
        "the run was started with --no-cache"
    )
    assert isinstance(results(store.create("w-3")).find("s", KEY, DAY, 2000.0), Kept)


def test_the_newest_wins(store: FolderStore) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    results(answered_run(store, "w-2", 2, at=5000.0)).keep("s", KEY, 5003.0)
    found = results(store.create("w-3")).find("s", KEY, DAY, 6000.0)
    assert isinstance(found, Kept)
    assert (found.run, found.answers["alpha"].value) == ("w-2", 2)


def test_with_its_run_a_result_is_gone(store: FolderStore) -> None:
    folder = answered_run(store)
    results(folder).keep("s", KEY, 1003.0)
    assert b"1003" in next((store.root / "cache").glob("*.json")).read_bytes()
    shutil.rmtree(folder.path)
    found = results(store.create("w-2")).find("s", KEY, DAY, 2000.0)
    assert isinstance(found, str)
    assert found.startswith("the result of run w-1 cannot be read: the journal ")


def test_a_journal_that_is_damaged_gives_nothing(store: FolderStore) -> None:
    folder = answered_run(store)
    results(folder).keep("s", KEY, 1003.0)
    body = bytearray(folder.journal_path.read_bytes())
    at = body.rindex(b"beta")
    body[at : at + 4] = b"atad"
    folder.journal_path.write_bytes(body)
    found = results(store.create("w-2")).find("s", KEY, DAY, 2000.0)
    assert isinstance(found, str)
    assert "is damaged" in found


def test_a_step_that_was_done_anew_has_its_old_result_no_more(store: FolderStore) -> None:
    folder = answered_run(store)
    results(folder).keep("s", KEY, 1003.0)
    write(
        folder,
        ev.RunResumed(1100.0, 0.0, reset=("s",)),
        ev.StepStarted(1100.0, "s", ("alpha",)),
        ev.TaskAnswered(1101.0, "s", "alpha", 2, 9),
        ev.StepCompleted(1102.0, "s"),
    )
    assert results(store.create("w-2")).find("s", KEY, DAY, 2000.0) == "run w-1 no longer has its result"


def test_a_run_that_goes_on_is_read_again(store: FolderStore) -> None:
    folder = answered_run(store)
    reader = results(store.create("w-2"))
    results(folder).keep("s", KEY, 1003.0)
    assert isinstance(reader.find("s", KEY, DAY, 2000.0), Kept)
    write(folder, ev.StepCompleted(1200.0, "later", 5))
    results(folder).keep("later", OTHER, 1200.0)
    found = reader.find("later", OTHER, DAY, 2000.0)
    assert isinstance(found, Kept)
    assert found.value == 5


def test_what_changed_while_it_was_computed_is_not_kept(store: FolderStore) -> None:
    folder = answered_run(store)
    said = results(folder, still=lambda *_: False).keep("s", KEY, 1003.0)
    assert said == "what it depends on has changed meanwhile"
    assert not (store.root / "cache").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"run": "w-1"}', b'{"run": "w-1", "nothing": 1}'])
def test_a_note_that_cannot_be_read_is_none(store: FolderStore, body: bytes) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    (note,) = (store.root / "cache").glob("*.json")
    note.write_bytes(body)
    assert results(store.create("w-2")).find("s", KEY, DAY, 2000.0) == "its result is gone"


def test_a_note_leads_to_no_other_folder(store: FolderStore, tmp_path: Path) -> None:
    results(answered_run(store)).keep("s", KEY, 1003.0)
    (note,) = (store.root / "cache").glob("*.json")
    shutil.copytree(store.root / "runs" / "w-1", tmp_path / "w-1")
    note.write_text(json.dumps({**json.loads(note.read_text()), "run": "../../../w-1"}))
    found = results(store.create("w-2")).find("s", KEY, DAY, 2000.0)
    assert isinstance(found, str)
    assert "is not the id of a run" in found


def test_a_folder_that_cannot_be_written_is_told(store: FolderStore) -> None:
    folder = answered_run(store)
    (store.root / "cache").write_text("a file is in the way")
    assert results(folder).keep("s", KEY, 1003.0) is not None


def test_no_result_stands_in_a_note(store: FolderStore) -> None:
    results(answered_run(store, value="confidential")).keep("s", KEY, 1003.0)
    for path in (store.root / "cache").rglob("*.json"):
        assert b"confidential" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_note_about_something_else_is_no_result(store: FolderStore) -> None:
    results(answered_run(store)).keep("s", OTHER, 1003.0)
    (note,) = (store.root / "cache").glob("*.json")
    note.rename(note.with_name(f"{KEY.digest}.json"))
    found = results(store.create("w-2")).find("s", KEY, DAY, 2000.0)
    assert found == "the note about run w-1 is about something else"
