"""`v6flow resume`: what may go on, what it does then, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    PLUS,
    SMALL,
    TOTAL,
    WAITING,
    call,
    end,
    federated,
    notes,
    open_gate,
    run_ids,
    start,
    waiting,
    write,
)

from v6flow.core.execution import events
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
BROKEN = "def plus(a, b):\n    return a + undefined\n"


def interrupt(workflow: str = "waiting.yaml") -> None:
    """Begin a run, and interrupt it while it waits."""
    process = start("run", workflow, until="wait: computes here")
    process.terminate()
    assert end(process).code == 143


def journalled(here: Path, run: str, *kinds: type[events.Event]) -> list[events.Event]:
    return [event for event in FolderStore(here / ".v6flow").find(run).events() if isinstance(event, kinds)]


def test_the_only_unfinished_run_goes_on(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    open_gate(here)
    said = call(capsys, "resume")
    assert (said.code, said.out) == (0, "sum: 42\n")
    run = next(run for run in run_ids(here) if run.startswith("waiting"))
    first = [event for event in journalled(here, run, events.StepCompleted) if event.step == "first"]  # type: ignore[union-attr]
    assert len(first) == 1, "what had completed is not done again"


def test_a_killed_run_goes_on(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.kill()
    end(process)
    open_gate(here)
    document = call(capsys, "resume", "-o", "json").document
    assert (document["status"], document["outputs"]) == ("completed", {"sum": 42})


def test_several_unfinished_runs_are_listed(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    interrupt()
    said = call(capsys, "resume")
    assert (said.code, said.out) == (2, "")
    assert all(run in said.err for run in run_ids(here))
    assert "v6flow resume RUN" in said.err


def test_of_several_the_one_that_nobody_works_on_is_meant(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    (run,) = run_ids(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    write(here, waiting_yaml=WAITING.replace("[cat, gate]", "[echo, '41']"))
    try:
        said = call(capsys, "resume", "-o", "json")
    finally:
        process.terminate()
        end(process)
    assert said.code == 0
    assert said.document["run"] == run


def test_a_run_that_goes_on_is_held(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    try:
        said = call(capsys, "resume", "-o", "json")
    finally:
        process.terminate()
        end(process)
    assert said.code == 75
    assert said.document["error"]["kind"] == "held"
    assert str(process.pid) in said.document["error"]["message"]


def test_a_completed_run_prints_its_outputs_again(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    ran = call(capsys, "run", "small.yaml")
    (run,) = run_ids(here)
    said = call(capsys, "resume", run)
    assert (said.code, said.out, said.err) == (0, ran.out, "")
    said = call(capsys, "resume")
    assert (said.code, "no unfinished run" in said.err) == (2, True)


def test_a_failed_run_prints_its_failure_and_does_nothing(here: Path, capsys: Capture) -> None:
    waiting(here)
    open_gate(here)
    write(here, plus_py=BROKEN)
    ran = call(capsys, "run", "waiting.yaml")
    assert ran.code == 1
    (run,) = run_ids(here)
    before = list(FolderStore(here / ".v6flow").find(run).events())
    said = call(capsys, "resume", run)
    assert (said.code, said.out) == (1, "")
    assert "name 'undefined' is not defined" in said.err
    assert said.err.count(f"v6flow resume --retry-failed {run}") == 1
    assert call(capsys, "resume", run, "-o", "json").document["exit_code"] == 1
    assert list(FolderStore(here / ".v6flow").find(run).events()) == before


def test_a_mended_last_function_goes_on_and_is_journalled(here: Path, capsys: Capture) -> None:
    waiting(here)
    open_gate(here)
    write(here, plus_py=BROKEN)
    call(capsys, "run", "waiting.yaml")
    (run,) = run_ids(here)
    write(here, plus_py=PLUS)
    said = call(capsys, "resume", "--retry-failed")
    assert (said.code, said.out) == (0, "sum: 42\n")
    (resumed,) = journalled(here, run, events.RunResumed)
    assert isinstance(resumed, events.RunResumed)
    assert resumed.changed == ("plus",)
    assert resumed.value is not None
    assert len([event for event in journalled(here, run, events.StepCompleted) if event.step == "wait"]) == 1  # type: ignore[union-attr]


def test_a_last_function_may_be_mended_under_another_name(here: Path, capsys: Capture) -> None:
    waiting(here)
    open_gate(here)
    write(here, plus_py=BROKEN)
    call(capsys, "run", "waiting.yaml")
    write(here, plus_py=PLUS.replace("plus", "add"), waiting_yaml=WAITING.replace("plus.py:plus", "plus.py:add"))
    said = call(capsys, "resume", "--retry-failed")
    assert (said.code, said.out) == (0, "sum: 42\n")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("first: {local: {value: 1}}", "first: {local: {value: 2}}", "its value was 1, and is 2"),
        ("  first: {local: {value: 1}}\n", "", "is gone from the file"),
    ],
)
def test_a_changed_step_that_has_completed_is_refused_with_the_difference(
    old: str, new: str, told: str, here: Path, capsys: Capture
) -> None:
    waiting(here)
    interrupt()
    text = WAITING.replace(old, new)
    if not new:
        text = text.replace("{{ steps.first.result }}", "1")
    write(here, waiting_yaml=text)
    said = call(capsys, "resume")
    assert (said.code, said.out) == (2, "")
    assert f"step first has completed, and {told}" in said.err
    assert "undo the change, or start a new run" in said.err
    write(here, waiting_yaml=WAITING)
    open_gate(here)
    assert call(capsys, "resume").out == "sum: 42\n", "undone, it goes on"


def test_a_changed_default_of_a_param_does_not_change_the_run(here: Path, capsys: Capture) -> None:
    text = WAITING.replace("name: waiting\n", "name: waiting\nparams: {n: {type: integer, default: 1}}\n")
    text = text.replace("{value: 1}", '{value: "{{ params.n }}"}')
    waiting(here)
    write(here, waiting_yaml=text)
    interrupt()
    write(here, waiting_yaml=text.replace("default: 1", "default: 2"))
    open_gate(here)
    assert call(capsys, "resume").out == "sum: 42\n"


def test_a_new_param_without_a_default_is_refused(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    write(here, waiting_yaml=WAITING.replace("name: waiting\n", "name: waiting\nparams: {n: {type: integer}}\n"))
    said = call(capsys, "resume")
    assert said.code == 2
    assert "no value for the new param n" in said.err


def test_a_workflow_that_has_come_to_be_invalid_is_told_with_its_place(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    write(here, waiting_yaml=WAITING.replace("steps.first.result", "steps.frist.result"))
    said = call(capsys, "resume")
    assert said.code == 2
    assert "waiting.yaml:6:" in said.err
    assert "^" in said.err


def test_a_workflow_file_that_is_gone_is_taken_as_it_was(here: Path, capsys: Capture) -> None:
    waiting(here)
    interrupt()
    (here / "waiting.yaml").unlink()
    open_gate(here)
    assert call(capsys, "resume").out == "sum: 42\n"


def test_it_goes_on_from_another_folder(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(here)
    interrupt()
    open_gate(here)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert call(capsys, "resume", "--store", "../.v6flow").out == "sum: 42\n"


# ------------------------------------------------------------------------------------------------- federations


@pytest.fixture
def failed(here: Path, capsys: Capture) -> str:
    """A run in which beta crashed and gamma is offline; its id."""
    pytest.importorskip("vantage6.algorithm.tools")
    text = FEDERATED.replace("timeout: 60s", "timeout: 6s")
    federated(here, more={"beta": "faults: {crash: true}", "gamma": "offline: true"}, text=text)
    said = call(capsys, "run", "federated.yaml", "-o", "json")
    step = said.document["steps"]["sums"]
    assert (step["responded"], step["failed"], step["missing"]) == (["alpha"], ["beta"], ["gamma"])
    (run,) = run_ids(here)
    return run


def test_retry_failed_asks_only_the_failed_and_the_missing(here: Path, capsys: Capture, failed: str) -> None:
    assert notes(here)["alpha"] == 1
    federated(here, text=FEDERATED.replace("timeout: 60s", "timeout: 3s"))
    said = call(capsys, "resume", failed, "--retry-failed", "-o", "json")
    assert said.document["outputs"] == {"total": TOTAL}, "who is offline or faulty may change"
    assert notes(here)["alpha"] == 1
    asked = [
        (event.organizations, event.attempt)
        for event in journalled(here, failed, events.TaskRequested)
        if isinstance(event, events.TaskRequested)
    ]
    assert sorted(asked) == [
        (("alpha",), 1),
        (("beta",), 1),
        (("beta",), 2),
        (("gamma",), 1),
        (("gamma",), 2),
    ]


def test_a_changed_question_or_federation_is_refused(here: Path, capsys: Capture, failed: str) -> None:
    federated(here, text=FEDERATED.replace("column: age", "column: bmi"))
    said = call(capsys, "resume", failed, "--retry-failed")
    assert said.code == 2
    assert 'its kwargs was {"column":"age"}, and is {"column":"bmi"}' in said.err

    federated(here)
    (here / "other.csv").write_text("age\n1\n")
    text = (here / "federation.yaml").read_text().replace("default: alpha.csv", "default: other.csv")
    (here / "federation.yaml").write_text(text)
    said = call(capsys, "resume", failed, "--retry-failed")
    assert (said.code, said.out) == (2, "")
    assert "step sums has asked organizations, and the federation" in said.err
    (here / "federation.yaml").unlink()
    said = call(capsys, "resume", failed, "--retry-failed")
    assert said.code == 2
    assert "the federation of this run cannot be read" in said.err
