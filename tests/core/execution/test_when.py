"""Conditions: which steps run, what becomes of those that use one that did not, and that a resume keeps to it."""

from __future__ import annotations

import pytest
from driver import Driver, drive, make

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import replay
from v6flow.core.planning import question
from v6flow.core.views.by_kind import details
from v6flow.core.views.preview import preview
from v6flow.core.views.summary import of_run
from v6flow.reporters import prose
from v6flow.reporters.lines import sentence

LEFT_OUT = """
params: {{full: {{default: false}}}}
steps:
  a:
    when: "{{{{ params.full }}}}"
    task: {{method: m}}
  user:
    local: {{value: "{user}"}}
  after:
    local: {{value: "{{{{ steps.user.result }}}}"}}
outputs: {{o: "{output}"}}
"""


def left_out(user: str = "1", output: str = "{{ 1 }}") -> Driver:
    return drive(LEFT_OUT.format(user=user, output=output))


def test_a_step_whose_condition_holds_runs() -> None:
    run = drive("""
params: {full: {default: true}}
steps:
  a: {when: "{{ params.full }}", task: {method: m}}
  b: {when: "{{ steps.a.results | sum > 2 }}", local: {function: "m:f"}}
outputs: {o: "{{ steps.b.result }}"}
""")
    assert run.asked("a") == ["alpha", "beta", "gamma"]
    run.answer("a", "alpha", "beta", "gamma")
    run.finish("b", 7)
    assert run.state.outputs == {"o": 7}


def test_a_step_whose_condition_does_not_hold_is_skipped_and_the_run_completes() -> None:
    run = left_out()
    assert (run.status("a"), run.asked("a"), run.state.status) == ("skipped", [], "completed")
    assert run.named(ev.StepSkipped) == [ev.StepSkipped(0.0, "a", "a", "when")]


@pytest.mark.parametrize(
    ("user", "value"),
    [
        ("{{ steps.a.status }}", "skipped"),
        ("{{ steps.a.error is none }}", True),
        ("{{ steps.a.asked }}", []),
        ("{{ steps.a.results | default([]) }}", []),
    ],
)
def test_what_may_be_read_of_a_step_that_was_left_out(user: str, value: object) -> None:
    assert left_out(user).state.step("user").value == value


def test_whoever_uses_what_it_would_offer_is_skipped_and_the_run_completes_nevertheless() -> None:
    run = left_out("{{ steps.a.results }}")
    assert [(each.step, each.cause, each.reason) for each in run.named(ev.StepSkipped)] == [
        ("a", "a", "when"), ("user", "a", "skipped"), ("after", "a", "skipped"),
    ]  # fmt: skip
    assert run.state.status == "completed"


def test_an_output_that_needs_it_fails_the_run_and_says_why() -> None:
    for output, step in (("{{ steps.a.results }}", "a"), ("{{ steps.after.result }}", "after")):
        run = left_out("{{ steps.a.results }}", output)
        assert run.state.status == "failed"
        assert run.failure().kind == "skipped"
        assert run.failure().message == (
            f"output o needs step {step}: step a was left out, since its `when` does not hold"
        )
    assert left_out("1", "{{ steps.a.results | default(0) }}").state.outputs == {"o": 0}


def test_status_may_be_read_whatever_became_of_a_step() -> None:
    run = drive("""
steps:
  a: {task: {method: m}, on_failure: continue}
  instead: {when: "{{ steps.a.status == 'failed' }}", local: {value: "{{ steps.a.failed }}"}}
  more: {when: "{{ steps.a.status == 'completed' }}", local: {value: 1}}
outputs: {o: "{{ steps.instead.result }}"}
""")
    assert run.status("instead") == "pending"
    run.answer("a", "alpha", "gamma")
    run.fail("a", "beta")
    assert run.state.outputs == {"o": ["beta"]}
    assert run.status("more") == "skipped"


def test_a_condition_on_what_a_failed_step_would_have_offered_skips_as_any_other_use() -> None:
    run = drive("""
steps:
  a: {task: {method: m}}
  b: {when: "{{ steps.a.results | length > 1 }}", local: {value: 1}}
""")
    run.fail("a", "alpha", "beta", "gamma")
    assert run.named(ev.StepSkipped) == [ev.StepSkipped(0.0, "b", "a", "failed")]


def test_a_condition_comes_before_all_else_of_the_step() -> None:
    run = drive("""
params: {zero: {default: 0}}
steps:
  a: {local: {value: "{{ 1 / params.zero }}"}, on_failure: continue}
  b: {when: "{{ false }}", needs: [a], local: {value: "{{ steps.a.result }}"}}
""")
    assert run.state.step("b").reason == "when"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{{ 1 }}", "`when` must be true or false, and is a number"),
        ("{{ 'yes' }}", "`when` must be true or false, and is a text"),
        ("{{ none }}", "`when` must be true or false, and is null"),
        ("{{ 1 / params.zero }}", "division by zero"),
    ],
)
def test_a_condition_that_is_neither_fails_the_step(condition: str, message: str) -> None:
    run = drive(f'params: {{zero: {{default: 0}}}}\nsteps: {{a: {{when: "{condition}", task: {{method: m}}}}}}')
    assert (run.status("a"), run.failure("a").kind, run.asked("a")) == ("failed", "expression", [])
    assert message in run.failure("a").message


def test_a_condition_carries_no_cohort() -> None:
    run = drive("""
steps:
  few: {task: {method: m, organizations: [alpha, beta]}}
  all: {task: {method: m}}
  a: {when: "{{ steps.few.results | length > 0 }}", local: {value: "{{ steps.all.results }}"}}
outputs: {o: "{{ steps.a.result }}"}
""")
    run.answer("few", "alpha", "beta")
    run.answer("all", "alpha", "beta", "gamma")
    assert run.state.status == "completed"
    assert run.state.step("a").carried == (("all", ("alpha", "beta", "gamma")),)


def test_a_condition_is_part_of_what_a_step_is_and_of_its_preview() -> None:
    made = make("""
params: {full: {default: false}}
steps:
  a: {local: {value: 1}}
  b: {when: "{{ params.full }}", local: {value: 1}}
  c: {when: "{{ steps.a.result > 1 }}", local: {value: 1}}
""")
    assert question.fingerprints(made, {})["c"].settled["when"] == "{{ steps.a.result > 1 }}"
    shown = {each.step: each.as_json().get("when") for each in preview(made)}
    assert shown == {"a": None, "b": False, "c": {"$later": "{{ steps.a.result > 1 }}"}}
    assert list(made.needs["c"]) == ["a"]


def test_a_condition_is_drawn_beside_what_the_step_does() -> None:
    made = make('params: {full: {default: true}}\nsteps: {a: {when: "{{ params.full }}", local: {value: 1}}}')
    assert details(made.workflow.steps["a"]) == ["local value", "only if params.full"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("when", "since its condition does not hold"), ("failed", "since a failed"), ("skipped", "since a was skipped")],
)
def test_people_are_told_why_a_step_was_skipped(reason: str, told: str) -> None:
    run = left_out()
    state = replay([ev.RunStarted(0.0, "w-1", "w", {}), ev.StepSkipped(1.0, "user", "a", reason)])
    assert sentence(ev.StepSkipped(1.0, "user", "a", reason), state, run.plan) == f"user: skipped, {told}"
    assert prose.remark(state.step("user")) == told
    document = of_run(state, ["a", "user"]).as_json()["steps"]
    assert isinstance(document, dict)
    assert document["user"]["reason"] == told
    assert "reason" not in document["a"]
