"""`v6flow list`: all runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    SMALL,
    call,
    run_ids,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def test_the_newest_run_comes_first(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL, failing_yaml=FAILING)
    call(capsys, "run", "small.yaml")
    call(capsys, "run", "failing.yaml")
    said = call(capsys, "list")
    lines = [line.split()[:2] for line in said.out.splitlines()]
    newest, oldest = run_ids(here)  # failing comes before small
    assert lines == [[newest, "failed"], [oldest, "completed"]]
    assert said.err == ""


def test_the_document(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    call(capsys, "run", "failing.yaml")
    (run,) = call(capsys, "list", "-o", "json").document["runs"]
    assert run.items() >= {"run": run_ids(here)[0], "workflow": "failing", "status": "failed", "exit_code": 1}.items()
    assert run["error"]
    assert run["seconds"] >= 0


def test_no_runs_are_no_error(here: Path, capsys: Capture) -> None:
    said = call(capsys, "list")
    assert (said.code, said.out, said.err) == (0, "", "no runs found\n")
    assert call(capsys, "list", "-o", "json").document == {"runs": []}
    assert not (here / ".v6flow").exists()


def test_the_store_is_the_option_else_the_environment(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, small_yaml=SMALL)
    monkeypatch.setenv("V6FLOW_STORE", str(here / "there"))
    call(capsys, "run", "small.yaml")
    assert len(call(capsys, "list", "-o", "json").document["runs"]) == 1
    assert call(capsys, "list", "--store", "elsewhere", "-o", "json").document["runs"] == []
    assert not (here / ".v6flow").exists()
