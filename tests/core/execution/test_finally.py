"""What stands under `finally`: it runs once the end of the run is known, and does not change it."""

from __future__ import annotations

import pytest
from driver import Driver, drive, make

from v6flow.core.execution import events as ev
from v6flow.core.execution.pinned import Pinned
from v6flow.core.planning import dependencies
from v6flow.core.views.by_kind import details
from v6flow.core.views.preview import preview
from v6flow.reporters import prose

TEXT = """
params: {zero: {default: 1}}
steps:
  a: {task: {method: m}}
  b: {local: {value: "{{ sum(steps.a.results) / params.zero }}"}}
finally:
  last:
    task: {method: m, organization: alpha, kwargs: {how: "{{ run.status }}", why: "{{ run.error }}"}}
    allow_cross_site: it is told to alpha why a run failed
  after:
    local: {value: ["{{ steps.last.result }}", "{{ steps.b.result | default('none') }}"]}
    mixed_cohorts: it tells of all
outputs: {o: "{{ steps.b.result }}"}
"""


def sent(run: Driver) -> object:
    return run.requests["last", "alpha"].kwargs["alpha"]


def completed() -> Driver:
    run = drive(TEXT)
    assert run.status("last") == "pending"
    run.answer("a", "alpha", "beta", "gamma")
    return run


def test_it_runs_when_the_run_has_completed() -> None:
    run = completed()
    assert (run.state.status, run.asked("last")) == ("running", ["alpha"])
    assert sent(run) == {"how": "completed", "why": None}
    run.answer("last", "alpha", value="ok")
    assert run.state.step("after").value == ["ok", 3.0]
    assert (run.state.status, run.state.outputs, run.state.exit_code) == ("completed", {"o": 3.0}, 0)
    assert len(run.named(ev.RunEnding)) == len(run.named(ev.RunCompleted)) == 1


def test_it_runs_when_the_run_has_failed_and_knows_why() -> None:
    run = drive(TEXT)
    run.fail("a", "alpha", "beta", "gamma", message="no column age")
    why = {"kind": "crashed", "message": run.failure("a").message, "step": "a", "organization": "alpha", "hint": None}
    assert sent(run) == {"how": "failed", "why": why}
    run.answer("last", "alpha", value="ok")
    assert run.state.step("after").value == ["ok", "none"]
    assert (run.state.status, run.state.exit_code, run.state.outputs) == ("failed", 1, {})
    assert run.failure() == run.failure("a")


def test_an_output_that_fails_the_run_comes_before_it() -> None:
    run = drive(TEXT, params={"zero": 0})
    run.answer("a", "alpha", "beta", "gamma")
    assert run.status("b") == "failed"
    assert sent(run)["how"] == "failed"  # type: ignore[index]  # a mapping
    run.answer("last", "alpha")
    assert run.state.status == "failed"


def test_it_runs_when_the_run_is_cancelled_and_nothing_of_the_run_goes_on() -> None:
    run = drive(TEXT)
    run.answer("a", "alpha")
    run.cancel()
    assert run.killed() == [("beta",), ("gamma",)]
    assert sent(run) == {"how": "cancelled", "why": None}
    run.answer("a", "beta")  # too late
    assert run.state.step("a").responded == ["alpha"]
    run.answer("last", "alpha")
    assert (run.state.status, run.state.exit_code) == ("cancelled", 1)
    assert run.named(ev.StepCompleted)[-1].step == "after"


@pytest.mark.parametrize(("cancel", "standing"), [(True, "cancelled"), (False, "interrupted")])
def test_what_is_known_of_steps_that_the_end_cut_off(cancel: bool, standing: str) -> None:
    run = drive("""
steps:
  a: {task: {method: m}}
  b: {local: {value: "{{ steps.a.results }}"}}
  c: {local: {function: "m:f"}}
finally:
  s: {local: {value: ["{{ steps.a.status }}", "{{ steps.a.missing }}", "{{ steps.b.status }}", "{{ steps.c.status }}"]}}
  d: {local: {value: "{{ steps.a.results | default('none') }}"}}
  e: {local: {value: "{{ steps.a.results }}"}}
""", deadline=60)  # fmt: skip
    run.answer("a", "alpha")
    if cancel:
        run.cancel()
    else:
        run.wait(60)
    assert run.state.step("s").value == [standing, ["beta", "gamma"], "pending", standing]
    assert run.state.step("d").value == "none"
    assert run.status("e") == "skipped"
    assert run.state.exit_code == (1 if cancel else 124)
    assert run.children == {}


def test_a_deadline_that_has_passed_does_not_cut_it_off() -> None:
    run = drive(TEXT, deadline=60)
    run.wait(60)
    assert sent(run)["how"] == "failed"  # type: ignore[index]  # a mapping
    assert run.scheduler.wake() == 60 + 86400  # its own timeout
    run.wait(600)
    run.answer("last", "alpha")
    assert (run.state.status, run.state.exit_code) == ("failed", 124)


def test_its_failure_is_told_and_changes_nothing() -> None:
    run = completed()
    run.fail("last", "alpha", message="it broke")
    assert (run.state.status, run.state.outputs, run.state.exit_code) == ("completed", {"o": 3.0}, 0)
    assert (run.status("last"), run.status("after")) == ("failed", "skipped")
    run.state.pinned = Pinned(final=("last", "after"))
    assert prose.incomplete_text(run.state) == [
        "incomplete: last: failed: alpha crashed: it broke",
        "incomplete: after: skipped, since last failed",
    ]


def test_cancelling_while_it_runs_ends_it_and_the_run_ends_as_it_would_have() -> None:
    run = completed()
    run.cancel()
    assert run.killed() == [("alpha",)]
    assert (run.state.status, run.state.outputs) == ("completed", {"o": 3.0})
    run = drive(TEXT)
    run.cancel()
    run.cancel()
    assert run.state.status == "cancelled"


def test_a_run_that_was_killed_meanwhile_goes_on_there() -> None:
    run = completed()
    ending = [type(event) for event in run.events].index(ev.RunEnding)
    for keep in range(ending, len(run.events) + 1):
        again = run.resume(keep=keep)
        assert again.asked("a") == []
        assert again.asked("last") == ["alpha"]
        again.answer("last", "alpha", value="ok")
        assert (again.state.status, again.state.step("after").value) == ("completed", ["ok", 3.0])
        assert len(again.named(ev.RunEnding)) == 1


def test_what_the_end_may_not_have_killed_is_killed_when_the_run_goes_on() -> None:
    run = drive(TEXT)
    run.answer("a", "alpha")
    run.cancel()
    again = run.resume()
    assert again.killed() == [("beta",), ("gamma",)]


def test_a_cancelled_run_that_was_killed_meanwhile_goes_on_there_too() -> None:
    run = drive(TEXT)
    run.cancel()
    again = run.resume()
    assert again.asked("a") == []
    again.answer("last", "alpha")
    assert again.state.status == "cancelled"


def test_a_failed_run_that_is_tried_again_ends_anew() -> None:
    run = drive(TEXT)
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma")
    run.answer("last", "alpha", value="sorry")
    again = run.resume(retry=("a",), reset=("b", "last", "after"))
    assert (again.asked("a"), again.asked("last"), again.state.ending) == (["gamma"], [], None)
    again.answer("a", "gamma")
    assert sent(again) == {"how": "completed", "why": None}
    assert again.requests["last", "alpha"].attempt == 2  # a token is never used for another question
    again.answer("last", "alpha", value="ok")
    assert (again.state.status, again.state.step("after").value) == ("completed", ["ok", 3.0])


def test_without_it_the_run_ends_at_once() -> None:
    run = drive("steps: {a: {local: {value: 1}}}\noutputs: {o: '{{ steps.a.result }}'}")
    assert run.named(ev.RunEnding) == []
    assert run.state.outputs == {"o": 1}


def test_it_stands_last_in_the_plan_and_in_drawings() -> None:
    made = make(TEXT)
    shown = {each.step: each.as_json() for each in preview(made)}
    assert list(shown)[2:] == ["last", "after"]
    assert [name for name in shown if shown[name].get("finally")] == ["last", "after"]
    assert shown["last"]["kwargs"] == {"$later": {"how": "{{ run.status }}", "why": "{{ run.error }}"}}
    assert dependencies.drawn(made.workflow) == {"a": [], "b": ["a"], "last": ["b"], "after": ["last", "b"]}
    assert details(made.workflow.steps["after"])[-1] == "when all else is over"
