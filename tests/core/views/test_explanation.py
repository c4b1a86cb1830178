"""What a step did and why is told from the events alone."""

from __future__ import annotations

from typing import Any

from driver import Driver, drive

from v6flow.core.execution import events as ev
from v6flow.core.views.explanation import explain

WORKFLOW = """
steps:
  first:
    task: {method: m, kwargs: {x: 1}}
    quorum: {min: 2, required: [alpha]}
    retry: {attempts: 2, on: [crashed]}
    timeout: 1h
  mean: {local: {value: "{{ mean(steps.first.results) }}"}}
  second:
    description: the second pass
    task: {method: n, kwargs: {mean: "{{ steps.mean.result }}"}, organizations: "{{ steps.first.responded }}"}
    quorum: "{{ steps.first.responded | length }}"
    mixed_cohorts: it is a test
  after: {local: {function: "f:f", kwargs: {x: "{{ steps.second.results }}"}}}
outputs: {o: "{{ steps.after.result }}"}
"""


def told(run: Driver, step: str) -> dict[str, Any]:
    return explain(run.plan, run.events, step).as_json()


def test_a_gate_tells_what_was_asked_and_decided() -> None:
    run = drive("steps: {a: {gate: {message: go?, approvers: [anna]}}}")
    asked = {"message": "go?", "approvers": ["anna"], "asked": "1970-01-01T00:00:00Z"}
    assert told(run, "a")["gate"] == asked
    run.write(ev.GateDecided(60.0, "a", "approved", "anna", "seen"))
    decided = {"decision": "approved", "by": "anna", "at": "1970-01-01T00:01:00Z", "comment": "seen"}
    assert told(run, "a")["gate"] == asked | decided


def half_way() -> Driver:
    """alpha answered at once, beta the second time, gamma never."""
    run = drive(WORKFLOW)
    run.answer("first", "alpha")
    run.fail("first", "beta", kind="crashed")
    run.wait(1)
    run.answer("first", "beta")
    run.wait(3600)
    return run


def outcomes(found: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    return {
        name: [(each["attempt"], each["outcome"]) for each in attempts] for name, attempts in found["attempts"].items()
    }


def test_each_attempt_and_its_end() -> None:
    found = told(half_way(), "first")
    assert outcomes(found) == {
        "alpha": [(1, "answered")],
        "beta": [(1, "crashed"), (2, "answered")],
        "gamma": [(1, "no answer")],
    }
    failed = found["attempts"]["beta"][0]
    assert failed["failure"]["kind"] == "crashed"
    assert failed["asked"] <= failed["ended"]
    assert failed["seconds"] >= 0
    assert (found["closed"], found["status"], found["missing"]) == ("timeout", "completed", ["gamma"])


def test_how_the_quorum_was_judged() -> None:
    run = half_way()
    first = told(run, "first")["quorum"]
    assert first == {"min": 2, "required": ["alpha"], "wait": "all", "needed": 2, "responded": 2, "met": True}
    second = told(run, "second")["quorum"]
    assert (second["needed"], second["met"], second["responded"]) == (2, None, 0), "it is still asking"
    run.fail("second", "alpha", "beta", kind="garbage")
    second = told(run, "second")
    assert (second["quorum"]["needed"], second["quorum"]["met"]) == (2, False)
    assert second["failure"]["kind"] == "garbage"


def test_what_it_waited_for_and_what_it_sends() -> None:
    found = told(half_way(), "second")
    assert [each["step"] for each in found["needs"]] == ["mean", "first"]
    assert all(each["status"] == "completed" for each in found["needs"])
    assert found["began_after"] in ("mean", "first")
    assert found["does"]["kwargs"] == {"mean": {"$later": "{{ steps.mean.result }}"}}, "no hospital's answer is shown"
    assert (found["description"], found["asked"]) == ("the second pass", ["alpha", "beta"])
    assert found["reasons"] == {"mixed_cohorts": "it is a test"}
    assert found["cohorts"] == [{"step": "first", "organizations": ["alpha", "beta"]}]


def test_a_step_that_has_not_begun() -> None:
    found = told(drive(WORKFLOW), "after")
    assert (found["status"], found["started"], found["attempts"], found["cause"]) == ("pending", None, {}, None)
    assert [(each["step"], each["ended"]) for each in found["needs"]] == [("second", None)]


def test_a_step_that_was_skipped_names_the_first_cause() -> None:
    run = half_way()
    run.fail("second", "alpha", "beta", kind="garbage")
    found = told(run, "after")
    assert (found["status"], found["cause"]["step"]) == ("skipped", "second")
    assert found["cause"]["message"] == told(run, "second")["failure"]["message"]


def test_a_local_step_and_whose_data_is_in_it() -> None:
    run = half_way()
    run.answer("second", "alpha", "beta")
    assert outcomes(told(run, "after")) == {"": [(1, "open")]}
    run.finish("after", 5)
    found = told(run, "after")
    assert outcomes(found) == {"": [(1, "completed")]}
    assert [each["organizations"] for each in found["cohorts"]] == [["alpha", "beta"]] * len(found["cohorts"])
    assert "quorum" not in found


def test_a_local_step_that_crashed() -> None:
    run = half_way()
    run.answer("second", "alpha", "beta")
    run.crash("after")
    found = told(run, "after")
    assert (found["status"], len(found["attempts"][""])) == ("failed", 1)
    assert found["attempts"][""][0]["failure"] is not None


def test_that_a_run_was_taken_up_again_is_told_where_it_matters() -> None:
    run = half_way()
    run.fail("second", "alpha", kind="garbage")
    run.answer("second", "beta")
    events = [*run.events, ev.RunResumed(run.now + 5, 5.0, retry=("second",), reset=("after",))]
    assert explain(run.plan, events, "second").taken_up_again[0].asks_failed_again is True
    assert explain(run.plan, events, "first").taken_up_again == ()
