"""Runs on a real server that are cancelled or interrupted, or that the server leaves alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import federation
import pytest
from stage_live import (
    INTERRUPT,
    TERMINATE,
    Going,
    Said,
    Stage,
    begin_quick,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation

# alpha answers at once, beta when the gate is open
WAITING = """\
defaults: {image: quick, organizations: [alpha, beta]}
steps:
  ask:
    task:
      method: act
      kwargs: {deed: "{{ 'wait' if organization == 'beta' else 'give' }}", value: "{{ organization }}", gate: @gate@}
    timeout: @timeout@
  then: {task: {method: give, kwargs: {value: "{{ steps.ask.results }}"}}, allow_cross_site: they only give it back}
outputs: {then: "{{ steps.then.by_organization }}"}
"""
ASKING = WAITING[: WAITING.index("  then:")] + 'outputs: {ask: "{{ steps.ask.results }}"}\n'
OUTPUTS = {"then": {"alpha": ["alpha", "beta"], "beta": ["alpha", "beta"]}}
AT_WORK = {"ask/alpha": ["completed"], "ask/beta": ["active"]}
KILLED = {"ask/alpha": ["completed"], "ask/beta": ["killed by user"]}
ALL = {"ask/alpha": ["completed"], "ask/beta": ["completed"], "then/alpha": ["completed"], "then/beta": ["completed"]}
TO_JSON = ("--output", "json")


def begin(stage: Stage, *more: str) -> Going:
    """A run that waits for beta, and has heard from alpha."""
    stage.write(WAITING, timeout="10m")
    going = stage.begin(*more)
    waits_for_beta(stage, going)
    return going


def waits_for_beta(stage: Stage, going: Going) -> None:
    stage.wait_for(AT_WORK)
    going.until("alpha answered")


def finished(stage: Stage, *words: str) -> dict[str, Any]:
    """The document of a resume that completes."""
    said = stage("resume", *TO_JSON, *words)
    assert said.code == 0, f"{said.out}\n{said.err}"
    document: dict[str, Any] = said.document
    assert document["status"] == "completed"
    assert document["outputs"] == OUTPUTS
    return document


def test_a_run_that_another_process_holds_is_cancelled(quick: Stage) -> None:
    going = begin(quick)
    asked = quick("cancel", quick.run_id)
    assert asked.code == 0, asked
    said = going.end()
    assert said.code == 1, said
    assert said.document["status"] == "cancelled"
    assert said.document["outputs"] == {}
    quick.wait_for(KILLED)
    again = quick("resume", quick.run_id)
    assert again.code == 2
    assert "was cancelled" in again.err


def test_a_run_that_sigterm_has_ended_is_cancelled(quick_encrypted: Stage) -> None:
    """It ends at once and lets its tasks go on; nobody holds it when it is cancelled."""
    going = begin(quick_encrypted)
    before = going.seconds
    going.signal(TERMINATE)
    said = going.end()
    assert (said.code, said.document["status"]) == (143, "interrupted"), said
    assert said.seconds - before < 5
    assert f"v6flow resume {quick_encrypted.run_id}" in said.err
    assert quick_encrypted.asked() == AT_WORK
    cancelled = quick_encrypted("cancel", quick_encrypted.run_id)
    assert cancelled.code == 0, cancelled
    assert "note:" not in cancelled.err
    assert quick_encrypted.asked() == KILLED


def test_ctrl_c_lets_tasks_go_on_and_resume_adopts_them(quick: Stage) -> None:
    going = begin(quick)
    going.signal(INTERRUPT)
    said = going.end()
    assert (said.code, said.document["status"]) == (130, "interrupted"), said
    assert f"v6flow resume {quick.run_id}" in said.err
    assert quick.asked() == AT_WORK
    quick.open_gate()
    quick.wait_for({"ask/beta": ["completed"]})  # while nobody is there to hear of it
    finished(quick)
    assert quick.asked() == ALL


def test_ctrl_c_with_kill_ends_tasks_and_resume_asks_anew(quick: Stage) -> None:
    going = begin(quick, "--on-interrupt", "kill")
    going.signal(INTERRUPT)
    said = going.end()
    assert (said.code, said.document["status"]) == (130, "interrupted"), said
    quick.wait_for(KILLED)
    assert quick.asked() == KILLED
    quick.open_gate()
    document = finished(quick)
    assert quick.asked() == {**ALL, "ask/beta": ["killed by user", "completed"]}
    assert document["steps"]["ask"]["failed"] == []


def test_a_server_that_goes_away_and_comes_back(quick: Stage) -> None:
    going = begin(quick)
    quick.live.stop_server()
    try:
        going.until("the run continues when the server is back")
        quick.open_gate()
    finally:
        quick.live.start_server()
    said = going.end()
    assert said.code == 0, f"{said.out}\n{said.err}"
    assert said.document["outputs"] == OUTPUTS
    assert "the server responds again, after" in said.err
    assert quick.asked() == ALL


@dataclass(frozen=True)
class LeftAlone:
    """A run whose time was up while the server was away, and how it was taken up after beta's answer had come in."""

    stage: Stage
    said: Said
    resumed: Said


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LeftAlone]]:
    """By whose time was up: the `step`'s or the `run`'s own."""
    live = begin_quick(federation.shared().plain)
    for seconds in (8, 30, 90):  # as long as it takes until the server can be stopped
        folder = tmp_path_factory.mktemp("left-alone")
        stages = {whose: Stage(live, folder / whose) for whose in ("step", "run")}
        stages["step"].write(WAITING, timeout=f"{seconds}s")
        stages["run"].write(ASKING, timeout="10m")
        going = {
            "step": stages["step"].begin(quick="none"),
            "run": stages["run"].begin("--deadline", f"{seconds}s", quick="none"),
        }
        try:
            if not until_the_server_is_away(live, stages, going, seconds):
                continue
            said = {whose: each.end() for whose, each in going.items()}
            for stage in stages.values():
                stage.open_gate()
            live.start_server()
            for stage in stages.values():
                stage.wait_for({"ask/beta": ["completed"]})
            resumed = {whose: stage("resume", *TO_JSON) for whose, stage in stages.items()}
            yield {whose: LeftAlone(stages[whose], said[whose], resumed[whose]) for whose in stages}
            return
        finally:
            live.start_server()
            for stage in stages.values():
                stage.close()
    raise AssertionError("the machine is too slow for this")


def until_the_server_is_away(
    live: LiveFederation, stages: dict[str, Stage], going: dict[str, Going], seconds: float
) -> bool:
    """Whether the server could be stopped, with beta at work, before anybody's time was up."""

    def is_late() -> bool:
        return any(each.seconds > seconds for each in going.values())

    for whose, stage in stages.items():
        stage.until(lambda: stage.asked() == AT_WORK or is_late(), "beta to be at work")  # noqa: B023  called at once
        stage.until(lambda: "alpha answered" in going[whose].said or is_late(), "alpha's answer")  # noqa: B023
    live.stop_server()
    return not is_late()


@pytest.mark.parametrize("whose", ["step", "run"])
def test_a_deadline_that_passes_while_the_server_is_away(whose: str, left_alone: dict[str, LeftAlone]) -> None:
    """Whether beta answered in time cannot be known: nothing has failed, and the run can be taken up."""
    said = left_alone[whose].said
    assert said.code == 5, f"{said.out}\n{said.err}"
    document = said.document
    assert document["status"] == "interrupted"
    assert document["steps"]["ask"]["status"] == "interrupted"
    assert document["steps"]["ask"]["responded"] == ["alpha"]
    assert document["error"]["kind"] == "unreachable"
    assert "the server is unreachable, and a deadline has passed" in document["error"]["message"]


@pytest.mark.parametrize("whose", ["step", "run"])
def test_what_was_answered_meanwhile_counts(whose: str, left_alone: dict[str, LeftAlone]) -> None:
    """Answers that are at the server when the run is taken up are collected before a deadline is judged."""
    found = left_alone[whose]
    assert found.resumed.document["steps"]["ask"]["responded"] == ["alpha", "beta"]
    assert found.resumed.code == 0, f"{found.resumed.out}\n{found.resumed.err}"
    assert found.resumed.document["outputs"] == (OUTPUTS if whose == "step" else {"ask": ["alpha", "beta"]})
    assert found.stage.asked() == (ALL if whose == "step" else AT_WORK | {"ask/beta": ["completed"]})


def test_a_run_resumes_only_where_it_began_and_in_one_process(quick: Stage, tmp_path: Path) -> None:
    """Another user, or another collaboration, is another question; of eight that take it up, one does."""
    going = begin(quick)
    held = quick("resume", quick.run_id)
    assert held.code == 75, held
    going.signal(INTERRUPT)
    assert going.end().code == 130

    live = quick.live
    others = {
        "user": live.write_federation_file(tmp_path / "user.yaml", user=live.users.researcher),
        "collaboration": federation.shared().encrypted.write_federation_file(tmp_path / "collaboration.yaml"),
    }
    ours = quick.federation_file.read_text("utf-8")
    for what, file in others.items():
        said = quick("resume", "--federation", str(file))
        assert said.code == 2, said
        assert "cannot continue" in said.err, what
        quick.federation_file.write_text(file.read_text("utf-8"), encoding="utf-8")
        said = quick("resume")
        quick.federation_file.write_text(ours, encoding="utf-8")
        assert said.code == 2, said
    assert quick.asked() == AT_WORK

    eight = [quick.start("resume", *TO_JSON, quick.run_id) for _ in range(8)]
    quick.until(lambda: sum(each.ended for each in eight) == 7, "seven to end")
    quick.open_gate()
    ends = [each.end() for each in eight]
    assert sorted(each.code for each in ends) == [0] + [75] * 7
    (done,) = [each for each in ends if each.code == 0]
    assert done.document["outputs"] == OUTPUTS
    assert quick.asked() == ALL
