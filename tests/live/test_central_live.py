"""A central function on a real server is judged by what it dispatched, and leaves nothing open behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import federation
from stage_live import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from federation import LiveFederation

MEAN = """\
steps:
  mean:
    task:
      image: probe
      method: central_mean
      @settings@
      databases: [default]
      kwargs: {column: @column@, organizations: "{{ @whom@ | organization_ids }}"}
    timeout: @timeout@
outputs: {mean: "{{ steps.mean.result }}"}
"""
GIVES_UP = """\
steps:
  mean:
    task:
      image: probe
      method: central_gives_up
      central: true
      organization: alpha
      kwargs: {gate: @shut@, organizations: "{{ ['alpha', 'gamma'] | organization_ids }}"}
    retry: {attempts: 2, on: [crashed]}
outputs: {mean: "{{ steps.mean.result }}"}
"""


def subtasks(stage: Stage) -> list[str]:
    """The statuses of all runs that the tasks of a stage's runs have dispatched."""
    found = []
    for task in stage.tasks():
        status, body = stage.live.server.request("GET", f"/task?parent_id={task['id']}&include=runs&per_page=100")
        assert status == 200, body
        found += [run["status"] for each in body["data"] for run in each["runs"]]
    return found


def test_one_that_is_not_declared_fails_by_that_and_its_number_is_not_shown(
    live: LiveFederation, tmp_path: Path
) -> None:
    stage = Stage(live, tmp_path)
    stage.write(MEAN, settings="organization: alpha", column="age", whom="['alpha', 'beta']", timeout="5m")
    said = stage.run()
    assert said.code == 1, said
    document = said.document
    assert document["outputs"] == {}
    assert document["error"]["kind"] == "central_undeclared"
    assert "`central: true`" in document["error"]["message"]
    assert document["steps"]["mean"]["failed"] == ["alpha"]
    stage.close()


def test_open_subtasks_are_ended_before_a_retry_and_at_the_end(live: LiveFederation, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    os.mkfifo(shut)
    stage = Stage(live, tmp_path / "stage")
    stage.write(GIVES_UP, shut=shut)
    said = stage.run()
    assert said.code == 1, said
    assert "ValueError: it gives up" in said.document["error"]["message"]
    for attempt in (1, 2):
        told = f"note: step mean: ended 4 subtasks of attempt {attempt} that were still open: alpha, gamma"
        assert told in said.err, said.err
    assert subtasks(stage) == ["killed by user"] * 8
    explained = stage("explain", stage.run_id, "mean")
    assert explained.out.count("subtask 2: ") == 4, explained
    stage.close()


def test_the_hospital_that_does_not_answer_a_central_function_is_named(live: LiveFederation, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path)
    whom = f"['beta', '{federation.OFFLINE}']"
    settings = "central: true\n      organization: alpha"
    stage.write(MEAN, settings=settings, column="age", whom=whom, timeout="12s")
    said = stage.run()
    assert said.code == 1, said
    error, step = said.document["error"], said.document["steps"]["mean"]
    assert (error["kind"], error["organization"]) == ("timeout", federation.OFFLINE)
    assert f"{federation.OFFLINE} did not answer the central function at alpha within 12s" in error["message"]
    assert (step["coordinator"], step["responded"], step["missing"]) == ("alpha", ["beta"], [federation.OFFLINE])
    assert f"ended 1 subtask of attempt 1 that was still open: {federation.OFFLINE}" in said.err
    assert sorted(subtasks(stage)) == ["completed", "killed by user"]
    assert "summing age" in stage("logs", stage.run_id, "mean", "beta").out
    stage.close()


def test_one_that_dies_of_a_subtask_shows_that_first(live: LiveFederation, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path)
    settings = "central: true\n      organization: alpha"
    stage.write(MEAN, settings=settings, column="none", whom="['beta']", timeout="5m")
    said = stage.run()
    assert said.code == 1, said
    error, step = said.document["error"], said.document["steps"]["mean"]
    assert (error["kind"], error["organization"]) == ("crashed", "beta")
    assert error["message"] == (
        "the subtask at beta crashed: KeyError: 'none'; "
        "the central function at alpha then failed: ZeroDivisionError: division by zero"
    )
    assert (step["asked"], step["failed"]) == (["beta"], ["beta"])
    assert "KeyError: 'none'" in step["failures"]["beta"]["log_tail"]
    logs = stage("logs", stage.run_id, "mean").out
    assert logs.index("==> alpha <==") < logs.index("==> beta, subtask 1 <==")
    stage.close()


def test_a_run_that_is_cancelled_ends_subtasks_too(live: LiveFederation, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path)
    settings = "central: true\n      organization: alpha"
    stage.write(MEAN, settings=settings, column="age", whom=f"['{federation.OFFLINE}']", timeout="5m")
    going = stage.begin()
    going.until(f"the central function at alpha asks {federation.OFFLINE}")
    going.kill()
    said = stage("cancel", stage.run_id)
    assert said.code == 0, said
    assert f"that was still open: {federation.OFFLINE}" in said.err, said
    assert subtasks(stage) == ["killed by user"]
    stage.close()
