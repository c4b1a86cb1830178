"""Runs that older versions of v6flow have made still open, explain themselves and go on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from older_runs import ARCHIVES, unpack

from v6flow.cli.main import main
from v6flow.core.execution.events import TaskAnswered, TaskRequested
from v6flow.core.execution.state import replay
from v6flow.runs.opened import open_run
from v6flow.stores.folder.rows import FORMAT
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.stores.folder.store import RunFolder

pytest.importorskip("vantage6.algorithm.tools")

EVERYTHING = {
    "sums": [30.0, 30.0, 100.0],
    "mean": 32.0,
    "doubled": [60.0, 60.0, 200.0],
    "told": "3",
    "rounds": 3,
    "items": [30.0, 100.0],
    "file": 160.0,
    "person": "approved",
}
ENDS: dict[str, tuple[str, dict[str, Any]]] = {
    # how each unfinished run ends by the data that are there
    "task": ("interrupted", {"sum": 160.0}),
    "local": ("interrupted", {"first": 1, "pause": True}),
    "repeat": ("interrupted", {"total": 15}),
    "foreach": ("interrupted", {"items": [5, 10, 15]}),
    "workflow": ("interrupted", {"sum": 160.0}),
    "gate": ("waiting", {"sum": 160.0, "by": "approved"}),
}


@pytest.fixture(name="study", params=[*ARCHIVES.values()], ids=[*ARCHIVES])
def a_study(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which an older version has made runs; the current folder."""
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    study = unpack(request.param, tmp_path)
    monkeypatch.chdir(study)
    (study / "open").touch()  # what local steps wait for
    return study


def status(capsys: pytest.CaptureFixture[str], run: str) -> Any:
    capsys.readouterr()
    assert main(["status", run, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def runs(study: Path, workflow: str) -> list[str]:
    return [each for each in FolderStore(study / ".v6flow").runs() if each.startswith(f"{workflow}-")]


def test_every_step_of_every_run_is_explained(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(study / ".v6flow")
    assert len(store.runs()) == 9
    assert main(["list", "--output", "json"]) == 0
    for run in store.runs():
        state = replay(store.find(run).events())
        assert status(capsys, run)["run"] == run
        assert main(["logs", run]) == 0
        for step in state.steps:
            assert main(["explain", run, step]) == 0, step
            assert step in capsys.readouterr().out


def test_a_completed_run_has_its_outputs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = runs(study, "every")
    found = status(capsys, run)
    assert (found["status"], found["outputs"]) == ("completed", EVERYTHING)
    assert main(["resume", run]) == 0


@pytest.mark.parametrize("workflow", ENDS)
def test_an_unfinished_run_goes_on(workflow: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, outputs = ENDS[workflow]
    for run in runs(study, workflow):
        if status(capsys, run)["status"] == before:
            break
    else:
        pytest.fail("there is none")
    folder = FolderStore(study / ".v6flow").find(run)
    answered = {(each.step, each.organization) for each in folder.events() if isinstance(each, TaskAnswered)}
    known = len(list(folder.events()))
    if before == "waiting":
        assert main(["approve", run, "person"]) == 0
    assert main(["resume", run, "--quiet"]) == 0
    found = status(capsys, run)
    assert (found["status"], found["outputs"]) == ("completed", outputs)
    for each in list(folder.events())[known:]:
        if isinstance(each, TaskRequested):
            assert not {(each.step, name) for name in each.organizations} & answered


def test_a_failed_run_asks_again_whom_it_lacks(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = [each for each in runs(study, "task") if status(capsys, each)["status"] == "failed"]
    assert main(["resume", run]) == 1
    assert main(["resume", run, "--retry-failed", "--quiet"]) == 0
    assert status(capsys, run)["outputs"] == {"sum": 160.0}
    asked = [each for each in FolderStore(study / ".v6flow").find(run).events() if isinstance(each, TaskRequested)]
    assert [each.organizations for each in asked] == [("alpha",), ("beta",), ("gamma",), ("gamma",)]


def _format(folder: RunFolder) -> int:
    with contextlib.closing(sqlite3.connect(folder.journal_path)) as connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        return int(found)


def test_the_first_event_that_is_added_makes_a_journal_one_of_the_format_of_today(study: Path) -> None:
    (run,) = runs(study, "local")
    folder = FolderStore(study / ".v6flow").find(run)
    before = _format(folder)
    with open_run(folder):
        assert _format(folder) == before
    assert main(["resume", run, "--quiet"]) == 0
    assert _format(folder) == FORMAT


def test_what_older_journals_do_not_have_is_not_recorded(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = runs(study, "every")
    found = status(capsys, run)
    assert [found[key] for key in ("by", "via", "key", "comment", "labels")] == [None] * 5
    assert main(["status", run]) == 0
    assert "by whom is not recorded" in capsys.readouterr().err
    assert main(["explain", run, "many", "--output", "json"]) == 0
    (attempt,) = json.loads(capsys.readouterr().out)["attempts"]["alpha"]
    assert [attempt[key] for key in ("began", "size", "image", "origin")] == [None] * 4


def test_a_cancelled_run_stays_so(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = [each for each in runs(study, "task") if status(capsys, each)["status"] == "cancelled"]
    assert main(["resume", run]) == 2
