"""The journal on disk: what it survives, and what it notices."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from journal_children import answered, finish, kill, line, show, spawn, stop

from v6flow.core.execution.events import StepCompleted
from v6flow.errors import JournalError, NoSpaceError
from v6flow.stores.folder import rows
from v6flow.stores.folder.checkpoint import (
    Checkpoint,
    Mark,
    boot_id,
    checkpoint_path,
    create_checkpoint,
    read_checkpoint,
)
from v6flow.stores.folder.rows import fetch, read, read_copy
from v6flow.stores.folder.sqlite import LARGE, SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from v6flow.core.execution.events import Event

EVENTS = [answered(number) for number in range(40)]
LARGE_EVENT = StepCompleted(1.0, "aggregate", "x" * (LARGE + 1))

WRITER = """
journal = SqliteJournal.create(folder / "journal.sqlite", "a-run")
for start in range(0, 3000, 3):
    journal.append([answered(n) for n in range(start, start + 3)], durable={durable})
    say(start + 3)
    if {paced}:
        sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def closed(path: Path) -> Path:
    """A journal that was closed; one of its values is in a file."""
    write(path, [*EVENTS, LARGE_EVENT])
    return path


@pytest.fixture
def killed(tmp_path: Path, path: Path) -> Path:
    """A journal of 12 events whose writer was killed: all are in the write-ahead log."""
    child = spawn(WRITER.format(durable="start < 9", paced=True), tmp_path)
    for number in (3, 6, 9, 12):
        assert line(child) == str(number)
        if number < 12:
            say(child)
    kill(child)
    assert path.with_name("journal.sqlite-wal").stat().st_size > 0
    return path


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder to which somebody else can get, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        show(Path(folder), writable=True)


def write(path: Path, events: list[Event]) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(events, durable=True)
    journal.close()


def say(child: Any) -> None:
    child.stdin.write("\n")
    child.stdin.flush()


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.rglob("*") if file.is_file() and not file.name.endswith("-shm"))


def edit(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def outcome(path: Path) -> list[Event] | None:
    """The events, or None if the journal says that it cannot be trusted."""
    try:
        return list(read(path))
    except JournalError:
        return None


# Keeping


def test_survives_closing_and_goes_on(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(EVENTS[:10], durable=True)
    journal.close()
    for start in (10, 20, 30):
        journal = SqliteJournal.open(path)
        assert list(journal.events()) == EVENTS[:start]
        journal.append(EVENTS[start : start + 10], durable=start == 20)
        journal.close()
    assert list(read(path)) == EVENTS
    assert list(read_copy(path)) == EVENTS


def test_an_empty_journal_can_be_taken_up(path: Path) -> None:
    SqliteJournal.create(path, "a-run").close()
    assert list(read(path)) == []
    journal = SqliteJournal.open(path)
    journal.append(EVENTS, durable=False)
    journal.close()
    assert list(read(path)) == EVENTS


def test_a_reader_sees_what_a_writer_has_appended(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    for number, event in enumerate(EVENTS, 1):
        journal.append([event], durable=number % 2 == 0)
        assert list(read(path)) == EVENTS[:number]
    journal.close()


def test_everything_is_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        journal = SqliteJournal.create(path, "a-run")
        journal.append([*EVENTS, LARGE_EVENT], durable=True)
        journal.keep(b"a log")
        modes = {p.relative_to(path.parent): stat.S_IMODE(p.stat().st_mode) for p in path.parent.rglob("*")}
        journal.close()
    finally:
        os.umask(before)
    assert {str(name).partition("/")[0] for name in modes} == {
        "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.head", "results", "logs"
    }  # fmt: skip
    assert {
        name: mode
        for name, mode in modes.items()
        if mode != (0o700 if name.suffix == "" and "/" not in str(name) else 0o600)
    } == {}


def test_closing_leaves_no_log_and_reading_leaves_nothing(closed: Path) -> None:
    before = files_of(closed)
    assert not closed.with_name("journal.sqlite-wal").exists()
    list(read(closed))
    assert files_of(closed) == before
    assert not closed.with_name("journal.sqlite-shm").exists()


def test_closing_while_somebody_reads_loses_nothing(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(EVENTS[:1], durable=True)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        journal.append(EVENTS[1:], durable=False)
        journal.close()
        assert list(read(path)) == EVENTS
    assert list(read(path)) == EVENTS


def test_large_values_are_files_before_they_are_rows(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append([StepCompleted(1.0, "a", "x" * (LARGE - 2))], durable=True)
    assert list((path.parent / "results").iterdir()) == []
    journal.append([LARGE_EVENT, LARGE_EVENT], durable=True)
    journal.close()
    (file,) = (path.parent / "results").iterdir()
    assert file.stat().st_size == LARGE + 3
    assert path.stat().st_size < 2 * LARGE


def test_says_that_it_is_closed(closed: Path) -> None:
    journal = SqliteJournal.open(closed)
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.append(EVENTS, durable=True)
    with pytest.raises(JournalError, match="is closed"):
        journal.events()


def test_does_not_begin_twice(closed: Path) -> None:
    before = closed.read_bytes()
    with pytest.raises(JournalError, match="there is a journal already"):
        SqliteJournal.create(closed, "a-run")
    assert closed.read_bytes() == before


def test_notices_a_second_writer(closed: Path) -> None:
    first, second = SqliteJournal.open(closed), SqliteJournal.open(closed)
    first.append(EVENTS[:1], durable=True)
    with pytest.raises(JournalError):
        second.append(EVENTS[1:2], durable=True)
    first.append(EVENTS[2:3], durable=True)
    second.close()
    first.close()
    assert list(read(closed)) == [*EVENTS, LARGE_EVENT, EVENTS[0], EVENTS[2]]


def test_an_interrupt_in_an_append_leaves_it_usable(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(EVENTS[:1], durable=True)
    with pytest.raises(KeyboardInterrupt):
        journal._commit(interrupted_rows(), journal._mark)
    journal.append(EVENTS[1:2], durable=True)
    journal.close()
    assert list(read(path)) == EVENTS[:2]


def interrupted_rows() -> Any:
    yield (2, "TaskAnswered", "{}", None, None, "")
    raise KeyboardInterrupt


# Killing and stopping


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("appends", [1, 2, 5])
def test_what_was_appended_survives_a_kill(tmp_path: Path, path: Path, appends: int, durable: bool) -> None:
    child = spawn(WRITER.format(durable=durable, paced=True), tmp_path)
    for number in range(1, appends + 1):
        assert line(child) == str(3 * number)
        if number < appends:
            say(child)
    kill(child)
    expected = EVENTS[: 3 * appends]
    assert list(read(path)) == expected
    assert list(read_copy(path)) == expected
    journal = SqliteJournal.open(path)
    journal.append(EVENTS[3 * appends :], durable=True)
    journal.close()
    assert list(read(path)) == EVENTS


def test_a_kill_in_the_midst_leaves_whole_appends(tmp_path: Path) -> None:
    for appends in range(1, 60, 12):
        folder = tmp_path / str(appends)
        folder.mkdir()
        child = spawn(WRITER.format(durable="start % 2 == 0", paced=False), folder)
        for _ in range(appends):
            returned = int(line(child))
        kill(child)
        events = list(read(folder / "journal.sqlite"))
        assert len(events) >= returned
        assert len(events) % 3 == 0
        assert events == [answered(number) for number in range(len(events))]


def test_a_stopped_writer_blocks_neither_readers_nor_other_runs(tmp_path: Path) -> None:
    (tmp_path / "stopped").mkdir()
    child = spawn(WRITER.format(durable=True, paced=False), tmp_path / "stopped")
    returned = int(line(child))
    stop(child)
    try:
        events = list(read(tmp_path / "stopped" / "journal.sqlite"))
        assert len(events) >= returned
        write(tmp_path / "journal.sqlite", EVENTS)
        assert list(read(tmp_path / "journal.sqlite")) == EVENTS
    finally:
        kill(child)


# No space


def test_a_full_disk_adds_nothing_and_is_got_over(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    connection = journal._open
    connection.execute("PRAGMA max_page_count=20")
    appended = []

    def fill() -> None:
        for number in range(1000):
            journal.append([answered(number)] * 10, durable=True)
            appended.append(number)

    with pytest.raises(NoSpaceError) as caught:
        fill()
    assert caught.value.exit_code == 5
    assert caught.value.hint is not None
    assert "repeat the command" in caught.value.hint
    expected = [answered(number) for number in appended for _ in range(10)]
    assert len(expected) > 100
    assert list(journal.events()) == expected
    assert list(read(path)) == expected
    connection.execute("PRAGMA max_page_count=1000")
    journal.append([LARGE_EVENT], durable=True)
    journal.close()
    assert list(read(path)) == [*expected, LARGE_EVENT]


FULL = """
def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
journal = SqliteJournal.create(folder / "journal.sqlite", "a-run")
limit({limit})
count = 0
try:
    while True:
        journal.append([answered(count)] * 5, durable={durable})
        count += 1
except NoSpaceError as error:
    say(count)
{then}
"""


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("limit", [50_000, 65_000, 100_001])
def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, path: Path, limit: int, durable: bool) -> None:
    then = "limit(-1); journal.append([answered(count)], durable=True); journal.close()"
    (count,) = finish(spawn(FULL.format(limit=limit, durable=durable, then=then), tmp_path))
    expected = [answered(number) for number in range(int(count)) for _ in range(5)]
    assert list(read(path)) == [*expected, answered(int(count))]


def test_a_kill_on_a_full_disk_leaves_what_was_appended(tmp_path: Path, path: Path) -> None:
    child = spawn(FULL.format(limit=65_000, durable=True, then="sys.stdin.readline()"), tmp_path)
    count = int(line(child))
    kill(child)
    assert list(read(path)) == [answered(number) for number in range(count) for _ in range(5)]


def test_no_space_for_what_is_large(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(EVENTS[:1], durable=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE, before[1]))
    try:
        with pytest.raises(NoSpaceError):
            journal.append([EVENTS[1], LARGE_EVENT], durable=True)
        with pytest.raises(NoSpaceError):
            journal.keep(b"x" * (LARGE + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*(path.parent / "results").iterdir(), *(path.parent / "logs").iterdir()] == []
    journal.append([EVENTS[1], LARGE_EVENT], durable=True)
    journal.close()
    assert list(read(path)) == [*EVENTS[:2], LARGE_EVENT]


# Damage


def damages(random_: random.Random, body: bytes) -> Iterator[bytes]:
    """Some ways to spoil a file: a bit, a byte, a stretch, what is missing at the end, a page of zeros."""
    for _ in range(120):
        spot = random_.randrange(len(body))
        yield body[:spot] + bytes([body[spot] ^ (1 << random_.randrange(8))]) + body[spot + 1 :]
        yield body[:spot] + random_.randbytes(1) + body[spot + 1 :]
    for _ in range(20):
        spot = random_.randrange(len(body))
        yield body[:spot] + random_.randbytes(random_.randrange(1, 200)) + body[spot + 200 :]
        yield body[:spot]
        page = spot // 4096 * 4096
        yield body[:page] + bytes(len(body[page : page + 4096])) + body[page + 4096 :]
    yield b""


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.head", "results"])
def test_a_damaged_journal_is_whole_or_says_so(closed: Path, name: str) -> None:
    spoil_and_read(closed, name, [*EVENTS, LARGE_EVENT])


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal", "journal.head"])
def test_a_damaged_left_over_log_is_whole_or_says_so(killed: Path, name: str) -> None:
    spoil_and_read(killed, name, EVENTS[:12])


def spoil_and_read(path: Path, name: str, expected: list[Event]) -> None:
    (file,) = [file for file in files_of(path) if name in {file.name, file.parent.name}]
    body = file.read_bytes()
    seen = set()
    for damaged in damages(random.Random(name), body):
        file.write_bytes(damaged)
        events = outcome(path)
        assert events in (None, expected)
        seen.add(events is None)
    assert True in seen
    file.write_bytes(body)
    assert outcome(path) == expected


def test_looking_at_a_damaged_log_does_not_make_it_worse(killed: Path) -> None:
    log = killed.with_name("journal.sqlite-wal")
    body = log.read_bytes()
    log.write_bytes(body[:5000] + b"\xff" + body[5001:])
    with pytest.raises(JournalError):
        SqliteJournal.open(killed)
    log.write_bytes(body)
    assert list(read(killed)) == EVENTS[:12]


def test_a_log_that_was_left_behind_is_missed(killed: Path) -> None:
    killed.with_name("journal.sqlite-wal").unlink()
    for open_ in (read, read_copy, SqliteJournal.open):
        with pytest.raises(JournalError, match=r"it holds 0 events where 12 were written"):
            open_(killed)


def test_an_older_state_is_noticed(path: Path, tmp_path: Path) -> None:
    write(path, EVENTS[:10])
    older = path.read_bytes()
    journal = SqliteJournal.open(path)
    journal.append(EVENTS[10:], durable=True)
    journal.close()
    path.write_bytes(older)
    with pytest.raises(JournalError, match="it holds 10 events where 40 were written"):
        read(path)


def test_a_head_that_was_not_moved_yet_is_right(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    journal.append(EVENTS[:10], durable=True)
    behind = checkpoint_path(path).read_bytes()
    journal.append(EVENTS[10:], durable=True)
    journal.close()
    checkpoint_path(path).write_bytes(behind)
    assert list(read(path)) == EVENTS
    SqliteJournal.open(path).close()
    assert checkpoint_path(path).read_bytes() != behind


def test_a_journal_of_another_run_is_noticed(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SqliteJournal.create(tmp_path / "other" / "journal.sqlite", "another-run")
    other.append([*EVENTS, LARGE_EVENT], durable=True)
    other.close()
    shutil.copy(other.path, closed)
    with pytest.raises(JournalError, match="not of the same run"):
        read(closed)


def test_after_the_loss_of_power_only_what_was_durable_must_be_there(killed: Path) -> None:
    log = killed.with_name("journal.sqlite-wal")
    body = log.read_bytes()
    log.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))  # the last append is lost; it was not durable
    assert outcome(killed) is None
    checkpoint = read_checkpoint(killed)
    assert checkpoint is not None
    assert checkpoint.boot == boot_id()
    assert (checkpoint.durable.events, checkpoint.reached.events) == (9, 12)
    create_checkpoint(killed, Checkpoint("another-boot", checkpoint.reached, checkpoint.durable))
    assert outcome(killed) == EVENTS[:9]
    log.write_bytes(body[:8000])
    assert outcome(killed) is None


# What says what is wrong


def drop(statement: str) -> Callable[[Path], None]:
    return lambda path: edit(path, statement)


def replace(path: Path, body: bytes) -> None:
    path.write_bytes(body)


def misspell(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body.replace(b"tablemetameta", b"table\xbeetameta").replace(b"CREATE TABLE", b"CREATE TABEL"))


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_another_database(path: Path) -> None:
    path.unlink()
    edit(path, "CREATE TABLE patients (name TEXT)")


def change_result(path: Path) -> None:
    (file,) = (path.parent / "results").iterdir()
    file.write_bytes(b'"' + b"y" * (LARGE + 1) + b'"')


WRONGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "is missing"),
    "empty": (lambda path: replace(path, b""), "is empty: it was cut off"),
    "text": (lambda path: replace(path, b"hello, I am not a database at all " * 200), "is not a journal"),
    "folder": (be_a_folder, "is not a file"),
    "another database": (be_another_database, "is not a journal of v6flow"),
    "newer": (drop("PRAGMA user_version=7"), "is of a newer version: its format is 7, this v6flow knows 2"),
    "no events": (drop("DROP TABLE events"), "is damaged: no such table: events"),
    "no meta": (drop("DROP TABLE meta"), "is damaged: no such table: meta"),
    "no length": (drop("DELETE FROM meta"), "the record of its length is missing"),
    "fewer": (drop("DELETE FROM events WHERE seq > 20"), "is damaged: it holds 20 events of 41"),
    "one less": (drop("DELETE FROM events WHERE seq = 20"), "is damaged: event 20 is not what was written"),
    "changed": (
        drop("UPDATE events SET value = '7' WHERE seq = 5"),
        "is damaged: event 5 is not what was written",
    ),
    "another type": (drop("UPDATE events SET data = x'00' WHERE seq = 5"), "is damaged: event 5 is not"),
    "another schema": (misspell, "is damaged: its schema is not what was written"),
    "no head": (lambda path: checkpoint_path(path).unlink(), "journal.head .* is missing or damaged"),
    "no result": (lambda path: shutil.rmtree(path.parent / "results"), "results/[0-9a-f]+ cannot be read"),
    "other result": (change_result, "results/[0-9a-f]+ is damaged"),
}


@pytest.mark.parametrize("wrong", sorted(WRONGS))
def test_says_what_is_wrong_and_what_to_do(closed: Path, wrong: str) -> None:
    spoil, sentence = WRONGS[wrong]
    spoil(closed)
    for look in (read, read_copy):
        with pytest.raises(JournalError, match=sentence) as caught:
            list(look(closed))
        assert str(closed.parent) in caught.value.message
        assert caught.value.hint or wrong == "folder"
    with (
        pytest.raises(JournalError, match=sentence),
        contextlib.closing(SqliteJournal.open(closed)) as journal,
    ):
        list(journal.events())


def test_an_unknown_kind_of_event_is_of_a_newer_version(path: Path) -> None:
    journal = SqliteJournal.create(path, "a-run")
    checksum = rows.link(journal._mark.checksum, "Marvelled", '{"at":1.0}', None, None)
    journal._commit([(1, "Marvelled", '{"at":1.0}', None, None, checksum)], Mark(1, checksum))
    journal.close()
    with pytest.raises(JournalError, match=r"event 1 of the journal .*, Marvelled, is not known"):
        list(read(path))


def test_what_was_kept_is_verified(closed: Path) -> None:
    journal = SqliteJournal.open(closed)
    digest = journal.keep(b"a log")
    file = closed.parent / "logs" / digest
    assert fetch(closed, digest) == b"a log"
    file.write_bytes(b"A log")
    with pytest.raises(JournalError, match="is damaged"):
        journal.fetch(digest)
    assert journal.keep(b"a log") == digest  # which mends it
    assert journal.fetch(digest) == b"a log"
    file.unlink()
    file.symlink_to("/etc/hostname")
    with pytest.raises(JournalError, match="cannot be read"):
        journal.fetch(digest)
    journal.close()


# Where nothing can be written

LOOK = """
step_down()
path = folder / "journal.sqlite"
try:
    rows._load_by(path, path, "mode=ro")
except UnopenableError:
    say("unopenable")
say(len(list(read(path))))
try:
    SqliteJournal.open(path)
except JournalError as error:
    say(error.message)
"""


@pytest.mark.parametrize("was_killed", [True, False])
def test_a_read_only_folder_is_read(public: Path, was_killed: bool) -> None:
    child = spawn(WRITER.format(durable=True, paced=True) + "    if start == 3: break\njournal.close()", public)
    assert line(child) == "3"
    say(child)
    assert line(child) == "6"
    if was_killed:
        kill(child)
        (public / "journal.sqlite-shm").unlink()
    else:
        finish(child)
    show(public)
    before = {file: file.read_bytes() for file in public.rglob("*") if file.is_file()}
    first, count, refusal = finish(spawn(LOOK, public))
    assert (first, count) == ("unopenable", "6")
    assert "cannot be written" in refusal
    assert {file: file.read_bytes() for file in public.rglob("*") if file.is_file()} == before


def test_an_unreadable_journal_says_so(public: Path) -> None:
    write(public / "journal.sqlite", EVENTS)
    show(public)
    (public / "journal.sqlite").chmod(0)
    code = "step_down()\ntry: read(folder / 'journal.sqlite')\nexcept JournalError as error: say(error.message)"
    assert finish(spawn(code, public)) == [f"the journal {public}/journal.sqlite cannot be read: permission denied"]
