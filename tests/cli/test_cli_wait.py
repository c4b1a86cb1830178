"""`v6flow run --detach` and `v6flow wait`: a run that goes on in a process of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    SMALL,
    call,
    child,
    end,
    run_ids,
    start,
    waiting,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def test_a_detached_run_prints_its_id_and_goes_on(here: Path, capsys: Capture) -> None:
    waiting(here)
    said = child("run", "waiting.yaml", "--detach")
    (run,) = run_ids(here)
    assert (said.code, said.out) == (0, f"{run}\n")
    assert "continues in the background" in said.err
    assert call(capsys, "status", "-o", "json").document["status"] == "running"
    late = call(capsys, "wait", run, "--timeout", "1s")
    assert (late.code, late.out) == (124, "")
    (here / "gate").write_text("4", "utf-8")
    said = call(capsys, "wait", run)
    assert (said.code, said.out) == (0, "sum: 5\n")
    document = call(capsys, "wait", run, "-o", "json").document
    assert (document["status"], document["exit_code"]) == ("completed", 0)


def test_waiting_ends_as_the_run_does(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    said = child("run", "failing.yaml", "--detach", "-o", "json")
    assert json.loads(said.out)["run"] == run_ids(here)[0]
    said = call(capsys, "wait")
    assert (said.code, said.out) == (1, "")
    assert "bad" in said.err


def test_a_run_that_was_killed_is_not_waited_for(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.kill()
    end(process)
    said = call(capsys, "wait")
    assert (said.code, said.out) == (1, "")
    assert "no process works on run" in said.err
    assert "v6flow resume" in said.err


def test_what_is_wrong_is_said_before_anything_goes_to_the_background(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL.replace("params.n * 2", "params.m * 2"))
    said = call(capsys, "run", "small.yaml", "--detach")
    assert said.code == 2
    assert "no param 'm'" in said.err
    assert not (here / ".v6flow").exists()
