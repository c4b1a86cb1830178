"""`v6flow cancel`: of a run that somebody works on, and of one that nobody does."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    SMALL,
    call,
    end,
    run_ids,
    start,
    waiting,
    write,
)

from v6flow import actor
from v6flow.core.execution.events import CancelRequested
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def who_cancelled(here: Path, run: str) -> str:
    (asked,) = [each for each in FolderStore(here / ".v6flow").find(run).events() if isinstance(each, CancelRequested)]
    return asked.by


def test_a_run_that_nobody_holds(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.kill()
    end(process)
    (run,) = run_ids(here)
    said = call(capsys, "cancel", "waiting")
    assert (said.code, said.out, said.err) == (0, "", f"cancelled run {run}\n")
    document = call(capsys, "status", "-o", "json").document
    assert (document["status"], document["exit_code"]) == ("cancelled", 1)
    assert who_cancelled(here, run) == actor.user()
    said = call(capsys, "resume", run)
    assert said.code == 2
    assert "was cancelled" in said.err
    assert call(capsys, "resume").code == 2, "nothing is unfinished"


def test_a_run_that_another_process_works_on(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", "-o", "json", until="wait: computes here")
    (run,) = run_ids(here)
    said = call(capsys, "cancel", run, "-o", "json")
    assert said.document == {"run": run, "status": "cancelling", "holder": process.pid}
    ended = end(process)
    assert ended.code == 1
    assert ended.document["status"] == "cancelled"
    assert who_cancelled(here, run) == actor.user()
    assert call(capsys, "status", "-o", "json").document["status"] == "cancelled"
    said = call(capsys, "cancel", run)
    assert (said.code, f"run {run} is over: it was cancelled" in said.err) == (2, True)


def test_a_run_that_is_over(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    said = call(capsys, "cancel", "small")
    assert (said.code, said.out) == (2, "")
    assert "is over: it has completed\n  hint: there is nothing left to cancel" in said.err
    assert call(capsys, "status", "-o", "json").document["status"] == "completed"


def test_a_run_must_be_named(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    said = call(capsys, "cancel")
    assert said.code == 2
    assert "RUN" in said.err


LAST = """\
v6flow: 1
name: last
steps:
  wait: {local: {command: [cat, gate]}}
finally:
  note: {local: {command: [sh, -c, "cat > note.json; echo 1"], kwargs: {how: "{{ run.status }}"}}}
outputs: {x: "{{ steps.wait.result }}"}
"""


@pytest.mark.parametrize("held", [True, False])
def test_what_stands_under_finally_is_done_for_a_run_that_is_cancelled(held: bool, here: Path, capsys: Capture) -> None:
    write(here, last_yaml=LAST)
    os.mkfifo(here / "gate")
    process = start("run", "last.yaml", until="wait: computes here")
    (run,) = run_ids(here)
    if not held:
        process.kill()
        end(process)
    assert call(capsys, "cancel", run).code == 0
    if held:
        end(process)
    assert json.loads((here / "note.json").read_text("utf-8")) == {"how": "cancelled"}
    document = call(capsys, "status", run, "--output", "json").document
    assert (document["status"], document["steps"]["note"]["status"]) == ("cancelled", "completed")
