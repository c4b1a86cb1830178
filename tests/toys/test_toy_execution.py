"""A kind of step that exists only in tests is run, killed, resumed, explained and shown like the others."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import toy_kind
from driver import Driver, make

from v6flow.core.execution import events as ev
from v6flow.core.kinds import STEP_KINDS, register

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = """steps:
  first:
    local: {value: "{{ 20 + 1 }}"}
  wait:
    pause: {parts: 3, seconds: 10, value: "{{ steps.first.result * 2 }}"}
  after:
    local: {value: "{{ steps.wait.result + 1 }}"}
outputs:
  after: "{{ steps.after.result }}"
"""
MAIN = """
import sys, toy_kind
from v6flow.cli.main import main
from v6flow.core.kinds import register
register(toy_kind.KIND)
sys.exit(main())
"""
KILLED = """
import os, signal, toy_kind
class Killed(toy_kind.PauseExecution):
    def advance(self, run, step, name, now):
        if run.state.step(name).progress == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().advance(run, step, name, now)
toy_kind.KIND.execution = Killed()
"""


@pytest.fixture
def registered() -> Iterator[None]:
    register(toy_kind.KIND)
    yield
    STEP_KINDS.pop("pause")


def progress(run: Driver) -> list[Any]:
    return [event.value for event in run.named(ev.Progressed)]


@pytest.mark.usefixtures("registered")
def test_it_advances_as_its_own_kind_says() -> None:
    run = Driver(make(STEPS))
    assert (run.status("wait"), run.scheduler.wake(), progress(run)) == ("running", 10.0, [0])
    run.wait(10)
    assert (run.status("wait"), run.scheduler.wake(), progress(run)) == ("running", 20.0, [0, 1])
    run.wait(30)
    assert (run.state.status, run.state.outputs, progress(run)) == ("completed", {"after": 43}, [0, 1, 2, 3])


@pytest.mark.usefixtures("registered")
def test_what_it_recorded_is_there_after_a_resume() -> None:
    run = Driver(make(STEPS))
    run.wait(20)
    again = run.resume()
    assert (progress(again), again.state.step("wait").progress) == ([0, 1, 2], 2)
    again.wait(10)
    assert (again.state.outputs, progress(again)) == ({"after": 43}, [0, 1, 2, 3])


@pytest.mark.usefixtures("registered")
def test_it_stands_in_items_like_any_other() -> None:
    run = Driver(
        make(
            "steps:\n  many:\n    foreach:\n      over: [1, 2]\n      max_parallel: 1\n"
            "      result: '{{ steps.wait.result }}'\n"
            "      steps:\n        wait: {pause: {parts: 1, seconds: 5, value: '{{ each.item * 10 }}'}}\n"
            "outputs: {all: '{{ steps.many.results }}'}\n"
        )
    )
    run.wait(5)
    run.wait(5)
    assert run.state.outputs == {"all": [10, 20]}


def called(folder: Path, *words: str, program: str = MAIN) -> subprocess.CompletedProcess[str]:
    """A command of v6flow in a process that knows the kind."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def shown(folder: Path, *words: str) -> str:
    done = called(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def document(folder: Path, *words: str) -> Any:
    return json.loads(shown(folder, *words, "--output", "json"))


def test_it_is_validated_planned_drawn_killed_resumed_explained_and_shown(tmp_path: Path) -> None:
    text = STEPS.replace("parts: 3, seconds: 10", "parts: 6, seconds: 0.05")
    (tmp_path / "w.yaml").write_text(f"v6flow: 1\nname: w\n{text}", "utf-8")
    shown(tmp_path, "validate", "w.yaml")
    assert [(each["step"], each["kind"]) for each in document(tmp_path, "plan", "w.yaml")["steps"]][1] == (
        "wait",
        "pause",
    )
    assert "wait" in shown(tmp_path, "graph", "w.yaml")
    killed = called(tmp_path, "run", "w.yaml", "--quiet", program=KILLED + MAIN)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (listed,) = document(tmp_path, "list")["runs"]
    assert document(tmp_path, "resume", listed["run"])["outputs"] == {"after": 43}
    explained = document(tmp_path, "explain", listed["run"], "wait")
    assert (explained["kind"], explained["status"]) == ("pause", "completed")
    assert document(tmp_path, "status", listed["run"])["steps"]["wait"]["status"] == "completed"
    (journal,) = tmp_path.rglob("journal.sqlite")
    with sqlite3.connect(journal) as connection:
        recorded = connection.execute("select count(*) from events where kind = 'Progressed'").fetchone()
    assert recorded == (7,)  # none of its parts was waited for again
