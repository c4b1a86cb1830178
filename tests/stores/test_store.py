"""The folder of runs: who holds one, who asked to cancel it, and which one is meant."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from journal_children import answered, finish, kill, line, show, spawn, stop

from v6flow.errors import HeldError, JournalError, NoSpaceError, UsageError
from v6flow.stores.base import CancelRequest, Holder
from v6flow.stores.folder import files
from v6flow.stores.folder.lock import CANCEL_SIGNAL, signal_holder
from v6flow.stores.folder.store import FolderStore, RunFolder

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

HOLD = """
run = FolderStore(folder).find()
with run.lease(command="v6flow run"):
    say("held")
    sys.stdin.readline()
say("released")
sys.stdin.readline()
"""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    ticks = itertools.count(1_800_000_000 * 10**9)
    return FolderStore(tmp_path / "store", clock=lambda: next(ticks))


@pytest.fixture
def run(store: FolderStore) -> RunFolder:
    return store.create("average-20261121-0523-k3f9")


@pytest.fixture
def child(store: FolderStore, run: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the run until it reads a line."""
    child = spawn(HOLD, store.root)
    assert line(child) == "held"
    yield child
    kill(child)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder to which somebody else can get, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        show(Path(folder), writable=True)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "a\0b", "a..b", "-a", ".a", "é", "a\n", "x" * 129]
)
def test_a_name_that_is_no_id_is_refused(store: FolderStore, name: str) -> None:
    for use in (store.create, store.find):
        with pytest.raises(UsageError, match="is not the id of a run"):
            use(name)
    assert not store.root.exists()


# Runs


def test_a_run_is_made_whole_and_private(store: FolderStore, run: RunFolder) -> None:
    assert run.path == store.root / "runs" / run.id
    assert {path.name for path in run.path.iterdir()} == {
        "journal.sqlite", "journal.head", "results", "logs", "answers", "created"
    }  # fmt: skip
    for path in [store.root, run.path.parent, run.path, *run.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert (store.root / ".gitignore").read_text() == "*\n"
    assert list(run.events()) == []


def test_a_run_is_made_once(store: FolderStore, run: RunFolder) -> None:
    journal = run.journal()
    journal.append([answered(1)], durable=True)
    journal.close()
    with pytest.raises(UsageError, match=f"there is a run {run.id} already"):
        store.create(run.id)
    assert list(run.events()) == [answered(1)]
    assert [path.name for path in run.path.parent.iterdir()] == [run.id]


def test_a_run_that_was_not_made_whole_is_none(store: FolderStore, run: RunFolder) -> None:
    (run.path.parent / ".new-average-1").mkdir()
    (run.path.parent / "a-file").touch()
    (run.path.parent / "a-link").symlink_to(run.path)
    assert store.runs() == [run.id]


def test_what_a_killed_process_left_of_a_new_run_is_removed(store: FolderStore, run: RunFolder) -> None:
    gone = spawn(HOLD, store.root)
    kill(gone)
    left = run.path.parent / f".new-average-20261121-0523-aaaa-{gone.pid}"
    left.mkdir()
    (left / "created").touch()
    going_on = run.path.parent / f".new-average-20261121-0523-bbbb-{os.getppid()}"
    going_on.mkdir()
    odd = run.path.parent / ".new-"
    odd.mkdir()
    assert store.runs() == [run.id]
    store.create("average-20261121-0524-k3f9")
    assert (left.exists(), going_on.exists(), odd.exists()) == (False, True, True)


def test_without_a_note_the_id_tells_when(store: FolderStore) -> None:
    names = ["c-20261121-0523-aaaa", "a-20261121-0524-aaaa", "b-20261122-0000-aaaa"]
    for name in reversed(["whatever", *names]):
        (store.create(name).path / "created").unlink()
    assert store.runs() == [*names[::-1], "whatever"]


def test_a_run_whose_journal_is_gone_is_not_passed_over(store: FolderStore, run: RunFolder) -> None:
    run.journal_path.unlink()
    assert store.runs() == [run.id]
    with pytest.raises(JournalError, match="is missing"):
        store.find().events()


def test_an_id_may_be_shortened(store: FolderStore) -> None:
    for name in ("average-20261121-0523-k3f9", "average-20261121-0524-aaaa", "cox-20261121-0523-k3f9", "cox"):
        store.create(name)
    assert store.find("average-20261121-0523").id == "average-20261121-0523-k3f9"
    assert store.find("cox").id == "cox"
    with pytest.raises(UsageError) as caught:
        store.find("average")
    assert caught.value.message == (
        "several runs start with 'average': average-20261121-0524-aaaa, average-20261121-0523-k3f9"
    )
    with pytest.raises(UsageError, match="no run starts with 'avrage-20261121-0523'") as caught:
        store.find("avrage-20261121-0523")
    assert caught.value.hint == "did you mean average-20261121-0523-k3f9?"


def test_many_runs_are_listed_in_part(store: FolderStore) -> None:
    for number in range(13):
        store.create(f"run-{number}")
    with pytest.raises(UsageError, match=r"run-12, .* and 3 more"):
        store.find("r")


def test_no_runs_are_said_to_be_none(store: FolderStore) -> None:
    assert store.runs() == []
    for prefix in (None, "average"):
        with pytest.raises(UsageError, match=f"no runs in {store.root}") as caught:
            store.find(prefix)
        assert "--store" in str(caught.value.hint)
    assert not store.root.exists()


def test_a_store_that_is_a_file_is_said(store: FolderStore) -> None:
    store.root.write_text("")
    with pytest.raises(UsageError, match="cannot be read: Not a directory"):
        store.runs()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        store.create("average")
    assert "V6FLOW_STORE" in str(caught.value.hint)


def test_a_store_needs_a_folder_that_can_be_written(public: Path) -> None:
    show(public)
    code = """
step_down()
try: FolderStore(folder / ".v6flow").create("average")
except UsageError as error: say(error.kind, error.exit_code, error.message, error.hint)
"""
    (said,) = finish(spawn(code, public))
    assert said.startswith(f"usage 2 {public}/.v6flow cannot be written: Permission denied ")
    assert "--store" in said
    assert "V6FLOW_STORE" in said


def test_runs_that_may_not_be_read_are_not_none(public: Path) -> None:
    FolderStore(public / "store").create("average")
    (public / "store" / "runs").chmod(0)
    code = """
step_down()
for use in (FolderStore(folder / "store").runs, FolderStore(folder / "store").find):
    try: use()
    except UsageError as error: say(error.message)
"""
    said = finish(spawn(code, public))
    (public / "store").chmod(0o755)
    assert said == [f"the runs in {public}/store cannot be read: Permission denied"] * 2


def test_a_read_only_store_is_read_and_not_held(public: Path) -> None:
    journal = FolderStore(public / "store").create("average").journal()
    journal.append([answered(1)], durable=True)
    journal.close()
    show(public)
    code = """
step_down()
run = FolderStore(folder / "store").find()
say(run.id, len(list(run.events())), run.holder())
for use in (run.lease, run.journal, lambda: run.requests.post(CancelRequest("me", 1.0)), lambda: run.write("a", b"")):
    try: use()
    except UsageError as error: say("--store" in error.hint, error.message)
"""
    first, *others = finish(spawn(code, public))
    assert first == "average 1 None"
    assert len(others) == 4
    assert all(other.startswith("True") and "cannot be written" in other for other in others)


def test_needs_no_home(store: FolderStore) -> None:
    code = """
run = FolderStore(folder).create("average")
with run.lease():
    run.journal().close()
say(len(list(run.events())))
"""
    bare = {name: value for name, value in os.environ.items() if name not in {"HOME", "USER", "LOGNAME"}}
    assert finish(spawn(code, store.root, env=bare)) == ["0"]


def test_a_full_disk_leaves_no_run_behind(store: FolderStore, run: RunFolder) -> None:
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try: FolderStore(folder).create("second")
except NoSpaceError as error: say(error.hint)
"""
    (hint,) = finish(spawn(code, store.root))
    assert "repeat the command" in hint
    assert [path.name for path in run.path.parent.iterdir()] == [run.id]


# Holding


def test_one_holds(run: RunFolder) -> None:
    assert run.holder() is None
    with run.lease(command="v6flow run"):
        held_by = run.holder()
        assert held_by == Holder(os.getpid(), "v6flow run", os.uname().nodename)
        for _ in range(2):
            with pytest.raises(HeldError, match=f"{run.id} is held by process {os.getpid()} \\(v6flow run\\)"):
                run.lease()
    assert run.holder() is None
    run.lease().release()
    assert stat.S_IMODE((run.path / "lock").stat().st_mode) == 0o600


def test_another_process_is_named(run: RunFolder, child: subprocess.Popen[str]) -> None:
    with pytest.raises(HeldError) as caught:
        run.lease()
    assert caught.value.message == f"the run {run.id} is held by process {child.pid} (v6flow run)"
    assert caught.value.exit_code == 75
    child.communicate("\n\n")
    run.lease().release()


def test_a_killed_holder_leaves_nothing(run: RunFolder, child: subprocess.Popen[str]) -> None:
    kill(child)
    assert run.holder() is None
    assert signal_holder(run.lock_path) is None
    with run.lease():
        pass


def test_a_stopped_holder_is_said_to_be_stopped(run: RunFolder, child: subprocess.Popen[str]) -> None:
    stop(child)
    holder = run.holder()
    assert holder is not None
    assert holder.stopped
    with pytest.raises(HeldError, match=f"is stopped \\(pid {child.pid}\\)") as caught:
        run.lease()
    assert f"kill -CONT {child.pid}" in str(caught.value.hint)
    child.send_signal(signal.SIGCONT)
    child.communicate("\n\n")
    assert run.holder() is None


def test_of_eight_one_wins(store: FolderStore, run: RunFolder) -> None:
    code = """
run = FolderStore(folder).find()
say("ready")
sys.stdin.readline()
try:
    lock = run.lease(command="v6flow resume")
    say("won")
except HeldError as error:
    say(error.message)
sys.stdin.readline()
"""
    children = [spawn(code, store.root) for _ in range(8)]
    assert {line(child) for child in children} == {"ready"}
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = {child.pid: line(child) for child in children}
    for child in children:
        finish(child)
    (winner,) = [pid for pid, words in said.items() if words == "won"]
    lost = f"the run {run.id} is held by process {winner} (v6flow resume)"
    assert sorted(said.values()) == sorted(["won", *[lost] * 7])


def test_what_a_holder_starts_does_not_hold(store: FolderStore, run: RunFolder) -> None:
    code = """
import subprocess
run = FolderStore(folder).find()
lock = run.lease()
waiting = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.readline()"]
subprocess.Popen(waiting, close_fds=False)
sys.stdin.readline()
"""
    child = spawn(code, store.root)
    assert line(child) == "up"
    assert run.holder() is not None
    child.kill()
    child.wait()
    assert run.holder() is None
    run.lease().release()
    child.communicate("\n")


def test_a_name_left_in_the_lock_is_not_who_holds_it(run: RunFolder, child: subprocess.Popen[str]) -> None:
    record = json.loads((run.path / "lock").read_text())
    for changed in ({"started": "1"}, {"pid": 2**22 + 1}, {"pid": "x"}, {"host": "elsewhere"}):
        (run.path / "lock").write_text(json.dumps({**record, **changed}))
        holder = signal_holder(run.lock_path)
        assert holder is not None
        assert holder.pid is None
        with pytest.raises(HeldError, match="a process that is not known"):
            run.lease()
    (run.path / "lock").write_text(json.dumps(record))
    child.communicate("\n\n")
    (run.path / "lock").write_text(json.dumps({**record, "pid": os.getpid()}))
    assert run.holder() is None


def test_one_who_lives_but_has_let_go_is_not_signalled(run: RunFolder, child: subprocess.Popen[str]) -> None:
    record = (run.path / "lock").read_text()
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    assert line(child) == "released"
    assert (run.path / "lock").read_text() == ""
    (run.path / "lock").write_text(record)
    assert run.holder() is None
    assert signal_holder(run.lock_path) is None


def test_a_run_that_is_gone_is_not_held(store: FolderStore) -> None:
    with pytest.raises(UsageError, match="is gone"):
        store.open("average").lease()


# Cancelling


def test_a_request_to_cancel_stays(store: FolderStore, run: RunFolder) -> None:
    assert run.requests.pending() == []
    finish(spawn("FolderStore(folder).find().requests.post(CancelRequest('hannah é', 1.5, 'script'))", store.root))
    assert run.requests.pending() == [CancelRequest("hannah é", 1.5, "script")]
    assert stat.S_IMODE((run.path / "cancel").stat().st_mode) == 0o600


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"by": "me"}'])
def test_a_damaged_request_is_still_one(run: RunFolder, body: bytes) -> None:
    (run.path / "cancel").write_bytes(body)
    assert run.requests.pending() == [CancelRequest("", 0.0)]


def test_the_holder_is_woken(store: FolderStore, run: RunFolder) -> None:
    code = """
from v6flow.stores.folder.lock import CANCEL_SIGNAL
signal.pthread_sigmask(signal.SIG_BLOCK, {CANCEL_SIGNAL})
run = FolderStore(folder).find()
with run.lease():
    say("held")
    signal.sigwait({CANCEL_SIGNAL})
    say(run.requests.pending()[0].by)
"""
    child = spawn(code, store.root)
    assert line(child) == "held"
    holder = run.requests.post(CancelRequest("hannah", 1.0))
    assert holder is not None
    assert holder.pid == child.pid
    assert finish(child) == ["hannah"]
    assert signal_holder(run.lock_path) is None


def test_a_holder_that_expects_no_signal_goes_on(run: RunFolder, child: subprocess.Popen[str]) -> None:
    assert signal_holder(run.lock_path) == Holder(child.pid, "v6flow run", os.uname().nodename)
    assert signal.getsignal(CANCEL_SIGNAL) == signal.SIG_DFL
    output, _ = child.communicate("\n\n")
    assert output == "released\n"
    assert child.returncode == 0


# Files


def test_a_file_that_finds_no_space_leaves_the_old_one(store: FolderStore, run: RunFolder) -> None:
    run.write("over", b"old")
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try: FolderStore(folder).find().write("over", bytes(2000))
except NoSpaceError: say("full")
"""
    assert finish(spawn(code, store.root)) == ["full"]
    assert (run.path / "over").read_bytes() == b"old"
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_a_link_is_neither_read_nor_followed(run: RunFolder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"secret")
    (run.path / "cancel").symlink_to(target)
    with pytest.raises(JournalError, match="cannot be read"):
        run.requests.pending()
    run.requests.post(CancelRequest("me", 1.0))
    assert target.read_bytes() == b"secret"
    assert run.requests.pending() == [CancelRequest("me", 1.0)]
    (run.path / "lock").symlink_to(target)
    with pytest.raises(UsageError):
        run.lease()
    assert target.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("number", "kind"),
    [("ENOSPC", NoSpaceError), ("EDQUOT", NoSpaceError), ("EROFS", UsageError), ("EACCES", UsageError)],
)
def test_what_a_failed_write_means(tmp_path: Path, number: str, kind: type[Exception]) -> None:
    import errno

    error = files.write_error(tmp_path, OSError(getattr(errno, number), "why"), kind=UsageError)
    assert type(error) is kind
    assert error.message == f"{tmp_path} cannot be written: why"
