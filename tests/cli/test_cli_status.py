"""`v6flow status`: how a run fares, whoever works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    SMALL,
    call,
    end,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
    run_ids,
    start,
    waiting,
    write,
)

from v6flow import actor
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def test_without_a_run_it_shows_the_newest(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL, failing_yaml=FAILING)
    call(capsys, "run", "failing.yaml")
    call(capsys, "run", "small.yaml")
    said = call(capsys, "status")
    assert said.code == 0
    assert said.out == 'n: 40\nwho: "you"\nall: {"to":"you","n":40}\n'
    assert "of small: completed" in said.err
    assert f" by {actor.user()} (" in said.err
    assert "double" in said.err


def test_a_run_is_found_by_the_beginning_of_its_id(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL, failing_yaml=FAILING)
    call(capsys, "run", "failing.yaml")
    call(capsys, "run", "small.yaml")
    said = call(capsys, "status", "fail")
    assert (said.code, said.out) == (0, ""), "the status could be read, so 0"
    assert "of failing: failed" in said.err
    assert "step bad: " in said.err
    assert said.err.count("v6flow resume") == 1
    assert call(capsys, "status", "failing-2026").code in (0, 2)


def test_the_document_has_the_shape_of_runs(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL, failing_yaml=FAILING)
    for name in ("small", "failing"):
        ran = call(capsys, "run", f"{name}.yaml", "-o", "json").document
        assert call(capsys, "status", "-o", "json").document == ran
        assert ran["by"] == actor.user()


def test_a_run_that_goes_on_and_one_that_was_killed(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    document = call(capsys, "status", "-o", "json").document
    assert (document["status"], document["exit_code"], document["outputs"]) == ("running", None, {})
    assert {name: step["status"] for name, step in document["steps"].items()} == {
        "first": "completed", "wait": "running", "plus": "pending",
    }  # fmt: skip
    process.kill()
    end(process)
    document = call(capsys, "status", "-o", "json").document
    assert (document["status"], document["exit_code"]) == ("interrupted", None)
    said = call(capsys, "status")
    (run,) = run_ids(here)
    assert "interrupted" in said.err
    assert said.err.splitlines()[-1] == f"v6flow resume {run} resumes it"


def test_an_interrupted_run_names_the_way_on_once(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.terminate()
    end(process)
    said = call(capsys, "status")
    assert said.err.count("v6flow resume") == 1
    document = call(capsys, "status", "-o", "json").document
    assert (document["status"], document["error"]["kind"]) == ("interrupted", "terminated")


@pytest.mark.parametrize("words", [("status",), ("status", "x"), ("logs", "x", "y"), ("resume", "x")])
def test_where_there_are_no_runs_it_says_so_and_makes_nothing(
    words: tuple[str, ...], here: Path, capsys: Capture
) -> None:
    said = call(capsys, *words)
    assert (said.code, said.out) == (2, "")
    assert f"no runs in {here / '.v6flow'}" in said.err
    assert not (here / ".v6flow").exists()


def test_an_unknown_run_is_refused_with_the_nearest(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    (run,) = run_ids(here)
    said = call(capsys, "status", run.replace("small", "smal"))
    assert said.code == 2
    assert f"did you mean {run}?" in said.err


def test_several_runs_of_one_beginning_are_listed(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    call(capsys, "run", "small.yaml")
    said = call(capsys, "status", "small")
    assert said.code == 2
    assert all(run in said.err for run in run_ids(here))


def test_a_run_of_which_nothing_was_written_is_said_to_be_so(here: Path, capsys: Capture) -> None:
    FolderStore(here / ".v6flow").create("small-20261121-0523-k3f9")
    said = call(capsys, "status")
    assert said.code == 2
    assert "ended before its first journal entry" in said.err
    assert "not started" in call(capsys, "list").out


def test_a_damaged_journal_is_named_and_never_a_fresh_start(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    (run,) = run_ids(here)
    journal = here / ".v6flow" / "runs" / run / "journal.sqlite"
    journal.write_bytes(b"\0" * 5000)
    assert call(capsys, "status").code == 2
    assert call(capsys, "resume", run).code == 2
    assert "unreadable" in call(capsys, "list").out
    said = call(capsys, "resume")
    assert (said.code, "no unfinished run" in said.err) == (2, True)


def test_the_timeline_of_a_run(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    going_on = call(capsys, "status", "--timeline", "-o", "json").document["timeline"]
    process.kill()
    end(process)
    (span,) = next(step for step in going_on["steps"] if step["step"] == "wait")["spans"]
    assert (span["phase"], span["ended"], going_on["pauses"]) == ("computing", None, [])
    killed = call(capsys, "status", "--timeline", "-o", "json").document
    assert [pause["reason"] for pause in killed["timeline"]["pauses"]] == ["interrupted"]
    said = call(capsys, "status", "--timeline")
    assert "= computing" in said.err
    assert "where ^ is" in said.err
    assert "timeline" not in call(capsys, "status", "-o", "json").document
    assert "timeline of" not in call(capsys, "status").err
