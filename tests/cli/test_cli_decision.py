"""`v6flow approve` and `v6flow reject`: what a person decides at a gate, and the run that goes on from there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
    end,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
    run_ids,
    start,
    write,
)

from fakes import FakeClock
from v6flow import actor
from v6flow.actor import Actor
from v6flow.core.execution.state import replay
from v6flow.reporters.base import Silent
from v6flow.runs.gates import decide_gate
from v6flow.runs.opened import open_run
from v6flow.runs.resume import resume
from v6flow.stores.base import DecisionRequest
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

GATED = """\
v6flow: 1
name: gated
steps:
  n: {local: {value: 6}}
  agreed: {gate: {message: "n = {{ steps.n.result }}"}}
  more: {local: {value: "{{ steps.n.result * 2 }}"}, needs: [agreed]}
outputs: {more: "{{ steps.more.result }}", by: "{{ steps.agreed.result.by }}"}
"""
BESIDE = GATED.replace("outputs:", "  wait: {local: {command: [cat, gate]}}\noutputs:")


def gated(here: Path, capsys: Capture, text: str = GATED) -> str:
    """A run that waits at its gate."""
    write(here, gated_yaml=text)
    said = call(capsys, "run", "gated.yaml", "--quiet")
    (run,) = run_ids(here)
    assert (said.code, said.out) == (6, "")
    assert said.err.splitlines() == [
        "step agreed asks: n = 6",
        f"  v6flow approve {run} agreed",
        f"  v6flow reject {run} agreed",
    ]
    return run


def test_the_run_waits_until_somebody_has_approved(here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    for command in ("status", "wait"):
        document = call(capsys, command, run, "-o", "json").document
        assert (document["status"], document["steps"]["agreed"]["status"]) == ("waiting", "waiting")
    assert call(capsys, "wait", run).code == 6
    assert f"v6flow approve {run} agreed" in call(capsys, "status", run).err
    assert call(capsys, "list", "-o", "json").document["runs"][0]["status"] == "waiting"
    again = call(capsys, "resume")
    assert (again.code, again.out) == (6, "")
    said = call(capsys, "approve", run, "agreed", "--comment", "seen", "-o", "json")
    assert said.code == 0
    assert {key: said.document[key] for key in ("run", "step", "decision", "by", "comment")} == {
        "run": run, "step": "agreed", "decision": "approved", "by": actor.user(), "comment": "seen",
    }  # fmt: skip
    assert call(capsys, "status", run, "-o", "json").document["status"] == "interrupted"
    done = call(capsys, "resume", run, "--quiet")
    assert (done.code, done.out) == (0, f'more: 12\nby: "{actor.user()}"\n')


def test_a_rejected_gate_fails_the_run(here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    said = call(capsys, "reject", run, "agreed", "--comment", "too few")
    assert said.err == f"rejected agreed of run {run}, as {actor.user()}\nv6flow resume {run} continues the run\n"
    done = call(capsys, "resume", run, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert f"step agreed: {actor.user()} rejected it: too few" in done.err
    assert "by " in call(capsys, "logs", run).out


def test_only_approvers_may_decide(here: Path, capsys: Capture) -> None:
    write(here, gated_yaml=GATED.replace('result }}"}', 'result }}", approvers: [somebody else]}'))
    assert call(capsys, "run", "gated.yaml", "--quiet").code == 6
    (run,) = run_ids(here)
    said = call(capsys, "approve", run, "agreed")
    assert said.code == 4
    assert f"{actor.user()} may not decide at step agreed: it asks somebody else" in said.err
    assert call(capsys, "status", run, "-o", "json").document["status"] == "waiting"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("n", "step n of run {run} waits for nobody\n  hint: those that wait: agreed"),
        ("agred", "run {run} has no step 'agred'\n  hint: did you mean agreed?"),
    ],
)
def test_what_does_not_wait_is_not_decided(step: str, told: str, here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    said = call(capsys, "approve", run, step)
    assert said.code == 2
    assert told.format(run=run) in said.err


def test_a_decision_stands(here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    assert call(capsys, "approve", run, "agreed").code == 0
    said = call(capsys, "reject", run, "agreed")
    assert said.code == 2
    assert f"step agreed of run {run} was approved by {actor.user()}" in said.err
    assert "hint: no gate of this run is waiting; see `v6flow status`" in said.err


@pytest.mark.parametrize(("command", "code"), [("approve", 0), ("reject", 1)])
def test_while_other_steps_go_on_the_process_that_works_on_the_run_is_told(
    command: str, code: int, here: Path, capsys: Capture
) -> None:
    write(here, gated_yaml=BESIDE)
    os.mkfifo(here / "gate")
    process = start("run", "gated.yaml", until="agreed: waits for a person: n = 6")
    (run,) = run_ids(here)
    assert call(capsys, command, run, "n").code == 2
    said = call(capsys, command, run, "agreed", "--comment", "go on")
    assert said.code == 0
    assert f"as {actor.user()}; process {process.pid}" in said.err
    (here / "gate").write_text("1", encoding="utf-8")
    assert end(process).code == code
    step = call(capsys, "status", run, "-o", "json").document["steps"]["agreed"]
    assert (step["by"], step["comment"]) == (actor.user(), "go on")
    assert not list((here / ".v6flow" / "runs" / run).glob("decision*"))


def test_a_run_that_waits_can_be_cancelled(here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    assert call(capsys, "cancel", run).code == 0
    assert call(capsys, "approve", run, "agreed").code == 2


def test_a_decision_that_came_too_late_to_be_heard_is_heard_when_the_run_goes_on(here: Path, capsys: Capture) -> None:
    run = gated(here, capsys)
    folder = FolderStore(here / ".v6flow").find(run)
    asked = replay(folder.events()).gates[0].started
    assert asked is not None
    folder.requests.post(DecisionRequest("agreed", asked, "approved", "anna", ""))
    assert call(capsys, "resume", run, "--quiet").out == 'more: 12\nby: "anna"\n'
    assert folder.requests.pending() == []


def test_the_time_that_a_person_takes_does_not_count_towards_the_deadline(here: Path, capsys: Capture) -> None:
    write(here, gated_yaml=GATED)
    assert call(capsys, "run", "gated.yaml", "--quiet", "--deadline", "1h").code == 6
    (run,) = run_ids(here)
    folder = FolderStore(here / ".v6flow").find(run)
    paused = replay(folder.events()).last
    with open_run(folder) as opened:
        decide_gate(
            opened, "agreed", "approved", by=Actor("anna", "terminal"), comment="", clock=FakeClock(paused + 86400)
        )
    with open_run(folder) as opened:
        ready = resume(opened, clock=FakeClock(paused + 86410))
        state = ready.carry_on(Silent())
    assert (state.status, state.exit_code) == ("completed", 0)
    assert state.down == pytest.approx(86410, abs=0.001)
