"""Gates: the run goes on with all else, lets go when only people can decide, and keeps what they decided."""

from __future__ import annotations

import pytest
from driver import Driver, drive, make

from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Record
from v6flow.core.execution.scheduler import Scheduler
from v6flow.core.execution.state import apply, replay
from v6flow.core.planning import question
from v6flow.core.views.by_kind import details
from v6flow.core.views.preview import preview
from v6flow.core.views.summary import of_run, standing
from v6flow.reporters import prose
from v6flow.reporters.lines import sentence

TEXT = """
steps:
  counts: {task: {method: m}}
  other: {task: {method: m}}
  agreed:
    gate: {message: "n = {{ steps.counts.results | sum }}", approvers: [anna, ben]}
  more: {local: {value: "{{ steps.agreed.result }}"}}
outputs: {o: "{{ steps.more.result }}"}
"""


def waiting() -> Driver:
    run = drive(TEXT)
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    run.answer("other", "alpha", "beta", "gamma")
    return run


def decided(run: Driver, decision: str, comment: str = "seen") -> Driver:
    run.write(ev.GateDecided(60.0, "agreed", decision, "anna", comment))
    return run.resume(down=120)


def test_it_asks_when_all_that_it_needs_is_there_and_all_else_goes_on() -> None:
    run = drive(TEXT)
    assert run.status("agreed") == "pending"
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    assert run.named(ev.GateAsked) == [ev.GateAsked(0.0, "agreed", "n = 6", ("anna", "ben"))]
    assert (run.status("agreed"), run.state.status) == ("waiting", "running")
    run.answer("other", "alpha", "beta", "gamma")
    assert run.named(ev.RunPaused) == [ev.RunPaused(0.0, ("agreed",))]
    assert (run.state.status, run.state.exit_code, run.state.over) == ("waiting", 6, False)


def test_approved_it_offers_who_decided_what() -> None:
    again = decided(waiting(), "approved")
    result = {"decision": "approved", "by": "anna", "at": "1970-01-01T00:01:00Z", "comment": "seen"}
    assert (again.state.status, again.state.outputs) == ("completed", {"o": result})
    assert (again.asked("counts"), again.asked("other")) == ([], [])


def test_rejected_it_has_failed_and_may_be_asked_again() -> None:
    again = decided(waiting(), "rejected", "too few")
    assert (again.state.status, again.failure().kind, again.failure().message) == (
        "failed",
        "rejected",
        "anna rejected it: too few",
    )
    assert again.status("more") == "skipped"
    retried = again.resume(retry=("agreed",), reset=("more",))
    assert retried.state.status == "waiting"
    assert len(retried.named(ev.GateAsked)) == 2
    assert decided(retried, "approved").state.status == "completed"


def test_without_a_decision_it_waits_again_and_is_asked_once() -> None:
    again = waiting().resume(down=60).resume()
    assert (again.state.status, len(again.named(ev.GateAsked)), len(again.named(ev.RunPaused))) == ("waiting", 1, 3)


def test_a_run_that_was_killed_anywhere_comes_to_the_same() -> None:
    run = waiting()
    for keep in range(run.events.index(run.named(ev.GateAsked)[0]), len(run.events) + 1):
        again = run.resume(keep=keep)
        for name in again.state.step("other").asked:
            if again.state.step("other").organizations[name].status == "requested":
                again.answer("other", name)
        assert again.state.status == "waiting"
        assert len(again.named(ev.GateAsked)) == 1
        assert decided(again, "approved").state.status == "completed"


def test_a_decision_leaves_the_run_to_be_taken_up_unless_another_gate_waits() -> None:
    run = drive("steps: {a: {gate: {message: a}}, b: {gate: {message: b}}}")
    assert run.named(ev.RunPaused) == [ev.RunPaused(0.0, ("a", "b"))]
    run.write(ev.GateDecided(1.0, "a", "approved", "anna"))
    assert run.state.status == "waiting"
    again = run.resume()
    assert (again.status("a"), again.status("b"), again.state.status) == ("completed", "waiting", "waiting")
    again.write(ev.GateDecided(2.0, "b", "approved", "ben"))
    assert again.state.status == "interrupted"
    assert again.resume().state.status == "completed"


def test_a_gate_may_have_a_condition_a_check_and_properties() -> None:
    text = """
steps:
  a:
    when: "{{ %s }}"
    gate: {message: m}
    checks: [{that: "{{ this.result.comment != '' }}", message: say why}]
    properties: {by: "{{ this.result.by }}"}
"""
    assert drive(text % "false").state.status == "completed"
    for comment, status in (("", "failed"), ("fine", "completed")):
        run = drive(text % "true")
        run.write(ev.GateDecided(1.0, "a", "approved", "anna", comment))
        again = run.resume()
        assert again.state.status == status
    assert again.state.step("a").properties == {"by": "anna"}


def test_a_decision_that_is_heard_as_soon_as_the_run_is_taken_up_counts_once() -> None:
    run = waiting()
    events = [*run.events, ev.RunResumed(0.0, 0.0)]
    state = replay(events)
    scheduler = Scheduler(run.plan, state)
    decided_now = ev.GateDecided(1.0, "agreed", "approved", "anna")
    apply(state, decided_now)
    scheduler.observe(decided_now)
    assert [type(command.event) for command in scheduler.decide(1.0) if isinstance(command, Record)] == [
        ev.StepCompleted
    ]


def test_a_gate_of_a_run_that_is_cancelled_waits_no_longer() -> None:
    run = drive(f"{TEXT}finally: {{f: {{local: {{value: '{{{{ steps.agreed.status }}}}'}}}}}}")
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    run.cancel()
    assert (run.state.status, run.state.gates, run.state.step("f").value) == ("cancelled", [], "cancelled")
    assert standing(run.state.step("agreed"), "cancelled") == "cancelled"
    assert standing(run.state.step("agreed"), "interrupted") == "waiting"


def test_a_failure_elsewhere_does_not_ask_for_nothing() -> None:
    run = drive(TEXT)
    run.fail("counts", "alpha", "beta", "gamma")
    run.answer("other", "alpha", "beta", "gamma")
    assert (run.state.status, run.status("agreed"), run.named(ev.GateAsked)) == ("failed", "skipped", [])


def test_people_are_told_what_is_asked_and_how_to_decide() -> None:
    run = waiting()
    (asked,) = run.named(ev.GateAsked)
    assert sentence(asked, run.state, run.plan) == "agreed: waits for anna, ben: n = 6"
    assert sentence(run.named(ev.RunPaused)[0], run.state, run.plan) == "run WAITS for a decision at agreed"
    assert prose.waiting_text(run.state, "/s") == [
        "step agreed asks of anna, ben: n = 6",
        "  v6flow approve --store /s w-1 agreed",
        "  v6flow reject --store /s w-1 agreed",
    ]
    assert prose.remark(run.state.step("agreed")) == "n = 6"
    document = of_run(run.state, ["agreed"]).as_json()
    assert (document["status"], document["exit_code"]) == ("waiting", 6)
    run.write(ev.GateDecided(1.0, "agreed", "approved", "anna", "seen"))
    assert sentence(run.events[-1], run.state, run.plan) == "agreed: approved by anna: seen"
    steps = of_run(run.state, ["agreed"]).as_json()["steps"]
    assert isinstance(steps, dict)
    assert (steps["agreed"]["message"], steps["agreed"]["by"], steps["agreed"]["comment"]) == ("n = 6", "anna", "seen")
    assert prose.waiting_text(run.state) == []


@pytest.mark.parametrize("approvers", [[], ["anna"]])
def test_the_plan_and_drawings_show_it(approvers: list[str]) -> None:
    made = make(f"steps: {{a: {{gate: {{message: m{f', approvers: {approvers}' if approvers else ''}}}}}}}")
    (shown,) = (each.as_json() for each in preview(made))
    assert (shown["kind"], shown["message"], shown["approvers"]) == ("gate", "m", approvers)
    assert question.fingerprints(made, {})["a"].asked["approvers"] == approvers
    assert details(made.workflow.steps["a"]) == [f"gate for {'anna' if approvers else 'anybody'}"]


def test_a_run_whose_time_is_up_while_only_a_person_is_waited_for_waits() -> None:
    run = drive(TEXT, deadline=100.0)
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    run.answer("other", "alpha", "beta")
    run.now = 100.0
    run.answer("other", "gamma")
    assert (run.state.status, run.state.exit_code) == ("waiting", 6)
    again = run.resume(down=60)  # its plan has the deadline as it was: it is passed
    assert (again.state.status, again.state.exit_code) == ("waiting", 6)
    assert decided(again, "approved").state.status == "completed"


def test_a_run_whose_time_is_up_while_an_organization_is_waited_for_has_failed() -> None:
    run = drive(TEXT, deadline=100.0)
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    run.answer("other", "alpha", "beta")
    run.wait(100)
    assert (run.state.status, run.state.exit_code, run.failure().kind) == ("failed", 124, "deadline")


def test_nobody_is_asked_after_an_approval_that_came_when_the_time_was_up() -> None:
    asks = TEXT.replace('local: {value: "{{ steps.agreed.result }}"}', "task: {method: m}, needs: [agreed]")
    run = drive(asks.replace("steps.more.result", "steps.more.results"), deadline=100.0)
    run.answer("counts", "alpha", "beta", "gamma", value=2)
    run.answer("other", "alpha", "beta")
    run.now = 100.0
    run.answer("other", "gamma")
    again = decided(run, "approved")
    assert (again.state.status, again.state.exit_code, again.asked("more")) == ("failed", 124, [])


def test_since_when_nobody_holds_a_run_is_known_though_a_person_has_decided_meanwhile() -> None:
    run = waiting()
    assert run.state.left == 0.0
    run.write(ev.GateDecided(60.0, "agreed", "approved", "anna", ""))
    assert (run.state.last, run.state.left) == (60.0, 0.0)
    assert decided(run, "approved").state.left is None
