"""`cache` from the command line: no organization is asked twice for what an earlier run was answered."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    call,
    federated,
    notes,
    run_ids,
    write,
)

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

CACHED = FEDERATED.replace("{column: age}}}", "{column: age}}, cache: 1d}")
ONCE = {"alpha": 1, "beta": 1, "gamma": 1}
TWICE = {"alpha": 2, "beta": 2, "gamma": 2}
SCRIPT = """\
v6flow: 1
name: script
steps:
  s: {local: {command: [sh, count.sh]}, cache: 1d}
outputs: {s: "{{ steps.s.result }}"}
"""


def test_a_second_run_asks_nobody(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    first = call(capsys, "run", "federated.yaml")
    second = call(capsys, "run", "federated.yaml")
    assert (second.code, second.out) == (first.code, first.out)
    assert notes(here) == ONCE
    assert "sums: nothing to reuse: no earlier run has a result of it" in first.err
    (run,) = [name for name in run_ids(here) if name in first.err]
    assert f"sums: reused from run {run}, answered 20" in second.err
    assert "sums: asks" not in second.err


def test_it_is_told_what_was_reused(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    first = call(capsys, "run", "federated.yaml", "-o", "json").document["run"]
    document = call(capsys, "run", "federated.yaml", "-o", "json").document
    step = document["steps"]["sums"]
    assert (step["reused"]["run"], step["reused"]["step"], step["attempts"]) == (first, "sums", 0)
    assert step["responded"] == ["alpha", "beta", "gamma"]
    assert "reused" not in document["steps"]["total"]
    assert f"reused from run {first}" in call(capsys, "status", document["run"]).err
    told = call(capsys, "explain", document["run"], "sums")
    assert f"  it was not computed again: it reuses the result of step sums of run {first}, answered 20" in told.out
    assert "  reuses a result that is no older than 1d0h" in told.out
    told = call(capsys, "explain", first, "sums")
    assert "  it was computed again: no earlier run has a result of it" in told.out
    found = call(capsys, "explain", document["run"], "sums", "-o", "json").document["reuse"]
    assert (found["run"], found["reason"]) == (first, None)
    assert call(capsys, "explain", document["run"], "total", "-o", "json").document["reuse"] is None


def test_the_log_is_that_of_the_run_that_asked(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    first, second = (call(capsys, "run", "federated.yaml", "-o", "json").document["run"] for _ in range(2))
    said = call(capsys, "logs", second, "sums", "beta")
    assert f"reuses the result of an earlier run; the log of that run: v6flow logs {first} sums beta" in said.err
    assert call(capsys, "logs", first, "sums", "beta").out != ""


def test_no_cache_asks_anew_and_keeps_what_comes(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    call(capsys, "run", "federated.yaml")
    said = call(capsys, "run", "federated.yaml", "--no-cache")
    assert "sums: nothing to reuse: the run was started with --no-cache" in said.err
    assert notes(here) == TWICE
    newest = call(capsys, "run", "federated.yaml", "-o", "json").document["steps"]["sums"]["reused"]["run"]
    assert newest in said.err
    assert notes(here) == TWICE


def test_data_that_changed_is_asked_for_anew(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    call(capsys, "run", "federated.yaml")
    (here / "beta.csv").write_text("age\n31\n")
    said = call(capsys, "run", "federated.yaml")
    assert said.out == "total: 101.0\n"
    assert ", this changed: data" in said.err
    assert notes(here) == TWICE


def test_with_its_run_a_result_is_gone(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    call(capsys, "run", "federated.yaml")
    (run,) = run_ids(here)
    shutil.rmtree(here / ".v6flow" / "runs" / run)
    said = call(capsys, "run", "federated.yaml")
    assert f"sums: nothing to reuse: the result of run {run} cannot be read" in said.err
    assert notes(here) == TWICE


def test_a_failure_is_not_reused(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED.replace("cache:", "quorum: 2, cache:"), more={"beta": "faults: {crash: true}"})
    for _ in range(2):
        assert call(capsys, "run", "federated.yaml").code == 0
    assert notes(here) == {"alpha": 2, "beta": 0, "gamma": 2}


def test_runs_of_a_sweep_share_what_is_the_same(here: Path, capsys: Capture) -> None:
    text = CACHED.replace("defaults:", "params: {factor: {type: integer, default: 1}}\ndefaults:").replace(
        "{{ steps.sums.results | sum(attribute='sum') }}",
        "{{ (steps.sums.results | sum(attribute='sum')) * params.factor }}",
    )
    federated(here, text=text)
    assert call(capsys, "run", "federated.yaml", "--sweep", "factor=1,2,3").code == 0
    assert notes(here) == ONCE


def test_a_script_that_changed_is_run_anew(here: Path, capsys: Capture) -> None:
    (here / "count.sh").write_text("echo 1\n")
    write(here, script_yaml=SCRIPT)
    assert call(capsys, "run", "script.yaml").out == "s: 1\n"
    assert "s: reused from run" in call(capsys, "run", "script.yaml").err
    (here / "count.sh").write_text("echo 2\n")
    said = call(capsys, "run", "script.yaml")
    assert said.out == "s: 2\n"
    assert ", this changed: source" in said.err


def test_a_script_that_changes_while_it_runs_is_not_kept(here: Path, capsys: Capture) -> None:
    (here / "count.sh").write_text("echo '# changed' >> count.sh; echo 1\n")
    write(here, script_yaml=SCRIPT)
    said = call(capsys, "run", "script.yaml")
    assert said.code == 0
    assert "note: what s has completed with is not kept for later runs: what it depends on has changed" in said.err
    assert "s: reused" not in call(capsys, "run", "script.yaml").err


def test_the_python_api_can_ask_anew(here: Path) -> None:
    federated(here, text=CACHED)
    for cache in (True, True, False):
        assert v6flow.run("federated.yaml", cache=cache).check().outputs == {"total": 100.0}
    assert notes(here) == TWICE


def test_the_plan_says_so(here: Path, capsys: Capture) -> None:
    federated(here, text=CACHED)
    assert "reuses a result that is no older than 1d0h" in call(capsys, "plan", "federated.yaml").out
    (sums, _) = call(capsys, "plan", "federated.yaml", "-o", "json").document["steps"]
    assert sums["cache"] == 86400.0
