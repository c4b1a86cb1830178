"""Signals and the Python API: an interrupt stays a KeyboardInterrupt, and the run can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import v6flow
from v6flow import api
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import replay
from v6flow.errors import (
    AccessError,
    InterruptedRunError,
    PersonNeededError,
    TerminatedRunError,
    UnreachableError,
    V6flowError,
)
from v6flow.reporters.base import Silent
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.execution.state import RunState

RUNNER = Path(__file__).parents[1] / "runner"
PATIENCE = 60  # seconds until a test says that something will never happen

SMALL = 'v6flow: 1\nname: small\nsteps: {one: {local: {value: 1}}}\noutputs: {one: "{{ steps.one.result }}"}\n'
# waits until somebody writes into the file `gate`
WAITING = SMALL.replace("small", "waiting").replace("value: 1", "command: [cat, gate]").replace("one", "w")
# what a careless notebook does: each question by itself, and no failure stops the others
LOOP = """\
import sys, v6flow
class Loud:
    def __getattr__(self, name):
        return lambda *told: print(name, flush=True) if name != "event" else print(type(told[0]).__name__, flush=True)
for question in range(3):
    try:
        v6flow.run("waiting.yaml", reporter=Loud())
    except Exception as error:
        print("swallowed", repr(error), flush=True)
print("went on", flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "waiting.yaml").write_text(WAITING)
    os.mkfifo(tmp_path / "gate")
    return tmp_path


def program(text: str, *, until: str) -> subprocess.Popen[str]:
    """A Python program of its own, once it has said something."""
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": str(RUNNER)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert any(until in line for line in process.stdout), process.communicate()
    return process


def states() -> list[RunState]:
    """The runs that are kept, by their journals."""
    store = FolderStore(Path(".v6flow"))
    return [replay(store.find(run).events()) for run in store.runs()]


def interrupt() -> None:
    """Ctrl-C, as this program hears it: at the latest while it waits."""
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(PATIENCE)


def open_gate() -> None:
    Path("gate").unlink()
    Path("gate").write_text("41")


def test_neither_is_an_exception_that_a_loop_swallows() -> None:
    assert issubclass(v6flow.InterruptedRunError, KeyboardInterrupt)
    assert issubclass(v6flow.TerminatedRunError, SystemExit)
    assert not issubclass(v6flow.InterruptedRunError, Exception)
    assert not issubclass(v6flow.TerminatedRunError, Exception)
    assert v6flow.TerminatedRunError("terminated").code == 143


@pytest.mark.parametrize(
    ("number", "codes", "kind"),
    [(signal.SIGINT, (1, -signal.SIGINT), "interrupted"), (signal.SIGTERM, (143,), "terminated")],
)
def test_a_loop_over_questions_ends(number: signal.Signals, codes: tuple[int, ...], kind: str) -> None:
    process = program(LOOP, until="LocalRequested")
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert "swallowed" not in out
    assert "went on" not in out
    assert process.returncode in codes  # which of them differs between versions of Python
    (state,) = states()
    assert (state.status, state.failure and state.failure.kind) == ("interrupted", kind)
    if number == signal.SIGINT:  # the last line of the traceback says how to resume
        resume = f"v6flow.resume('{state.run}')"
        assert err.rstrip().endswith(f"run {state.run} was interrupted: {resume} resumes it")
        open_gate()
        assert eval(resume).outputs == {"w": 41}


def test_the_hint_names_the_store_that_was_given(folder: Path) -> None:
    class Impatient(Silent):
        def event(self, event: Any, state: Any) -> None:
            if isinstance(event, ev.LocalRequested):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        v6flow.run("waiting.yaml", store=folder / "my runs", reporter=Impatient())
    error = caught.value
    assert isinstance(error, v6flow.InterruptedRunError)
    open_gate()
    assert error.hint is not None
    result = eval(error.hint.removesuffix(" resumes it"))
    assert (result.run, result.outputs) == (error.run, {"w": 41})


def test_a_second_interrupt_does_not_wait_for_the_run(folder: Path) -> None:
    """The engine is stuck, and what a notebook has computed so far must not die with it."""
    text = (
        "import signal, v6flow\n"
        "from v6flow.engine import Engine\n"
        "def stuck(self):\n"
        "    print('stuck', flush=True)\n"
        "    while True: signal.pause()\n"
        "Engine.run = stuck\n"
        "try: v6flow.run('small.yaml')\n"
        "except KeyboardInterrupt as error: print(type(error).__name__, error.run, signal.getsignal(signal.SIGINT))\n"
    )
    process = program(text, until="stuck")
    process.send_signal(signal.SIGINT)
    while "SigPnd:\t0000000000000000" not in Path(f"/proc/{process.pid}/status").read_text():
        pass  # two signals of one number that are not yet delivered are one
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    (state,) = states()
    assert out.split(maxsplit=2)[:2] == ["InterruptedRunError", state.run]
    assert "default_int_handler" in out
    assert process.returncode == 0
    assert (state.status, state.exit_code) == ("interrupted", 130)


def test_an_interrupt_that_comes_when_the_run_is_over_still_interrupts() -> None:
    class Late(Silent):
        def end(self, state: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(v6flow.InterruptedRunError, match="was over: completed") as caught:
        v6flow.run("small.yaml", reporter=Late())
    assert v6flow.resume(caught.value.run).outputs == {"one": 1}
    assert [state.status for state in states()] == ["completed"]


def test_an_interrupt_before_the_engine_begins_is_journalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("v6flow.local.runner.ChildRunner", interrupted)
        with pytest.raises(v6flow.InterruptedRunError) as caught:
            v6flow.run("small.yaml")
    (state,) = states()
    assert (state.run, state.status, state.exit_code) == (caught.value.run, "interrupted", 130)
    assert v6flow.resume(state.run).outputs == {"one": 1}


def test_an_interrupt_before_there_is_a_run_is_a_plain_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("v6flow.runs.starting.reach_for", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        v6flow.run("small.yaml")
    assert not isinstance(caught.value, v6flow.InterruptedRunError)
    assert not (folder / ".v6flow").exists()


def test_a_run_in_another_thread_leaves_signals_to_the_program() -> None:
    found: list[v6flow.Result] = []
    began = threading.Event()

    class Began(Silent):
        def event(self, event: Any, state: Any) -> None:
            if isinstance(event, ev.LocalRequested):
                began.set()

    worker = threading.Thread(target=lambda: found.append(v6flow.run("waiting.yaml", reporter=Began())))
    worker.start()
    assert began.wait(PATIENCE)
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupt()
    assert not isinstance(caught.value, v6flow.InterruptedRunError)
    Path("gate").write_text("41")
    worker.join(PATIENCE)
    assert [result.outputs for result in found] == [{"w": 41}]


@pytest.fixture
def _handler_of_a_notebook() -> Iterator[None]:
    """Notebooks set a handler of their own, which raises KeyboardInterrupt while a cell runs."""

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt("a cell was stopped")

    before = signal.signal(signal.SIGINT, handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is handler


@pytest.mark.usefixtures("_handler_of_a_notebook")
def test_a_notebook_has_its_handler_back_after_the_interrupt() -> None:
    class Impatient(Silent):
        def event(self, event: Any, state: Any) -> None:
            if isinstance(event, ev.LocalRequested):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(v6flow.InterruptedRunError):
        v6flow.run("waiting.yaml", reporter=Impatient())
    with pytest.raises(KeyboardInterrupt, match="a cell was stopped"):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (4, "access", AccessError),
        (5, "unreachable", UnreachableError),
        (6, "person_needed", PersonNeededError),
        (70, "bug", V6flowError),
        (130, "interrupted", InterruptedRunError),
        (143, "terminated", TerminatedRunError),
    ],
)
def test_what_keeps_a_run_from_going_on_is_an_error_of_its_kind(
    code: int, kind: str, expected: type[BaseException]
) -> None:
    """A server that is away is no interrupt: nobody has pressed anything."""
    failure = ev.Failure(kind, "so it is", hint="look at it")
    state = replay([ev.RunStarted(1.0, "w-1", "w", {"steps": []}), ev.RunInterrupted(2.0, failure, code)])
    assert type(api._released(state, "v6flow.resume('w-1') resumes it")) is expected
