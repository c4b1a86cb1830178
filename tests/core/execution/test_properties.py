"""Properties: what a step publishes is kept with its completion, is small, and mixes no cohorts."""

from __future__ import annotations

import pytest
from driver import Driver, drive, journalled, make

from v6flow.core.execution import events as ev
from v6flow.core.execution.context import MAX_PROPERTIES
from v6flow.core.planning import question
from v6flow.core.views.preview import preview
from v6flow.core.views.summary import of_run
from v6flow.reporters import prose
from v6flow.reporters.lines import sentence

TASK = """
steps:
  a:
    task: {method: m}
    quorum: 2
    properties: {n: "{{ this.results | sum }}", who: "{{ this.responded }}", lost: "{{ this.failed }}", fixed: 1}
  b: {local: {value: "{{ steps.a.results }}"}}
"""
FACTS = {"n": 7, "who": ["alpha", "beta"], "lost": ["gamma"], "fixed": 1}


def completed() -> Driver:
    run = drive(TASK)
    run.fail("a", "gamma")
    run.answer("a", "alpha", value=3)
    run.answer("a", "beta", value=4)
    return run


def test_a_step_publishes_when_it_completes() -> None:
    run = completed()
    (event, _) = run.named(ev.StepCompleted)
    assert event.properties == FACTS
    assert run.state.step("a").properties == FACTS
    assert run.resume().state.step("a").properties == FACTS
    assert event in journalled([event])


def test_they_stand_in_the_document_the_table_and_the_progress() -> None:
    run = completed()
    document = of_run(run.state, ["a", "b"]).as_json()["steps"]
    assert isinstance(document, dict)
    assert document["a"]["properties"] == FACTS
    assert "properties" not in document["b"]
    shown = 'n: 7; who: ["alpha","beta"]; lost: ["gamma"]; fixed: 1'
    assert prose.remark(run.state.step("a")) == f"failed: gamma; {shown}"
    said = sentence(run.named(ev.StepCompleted)[0], run.state, run.plan) or ""
    assert said.endswith(f"2 of 3 answered (gamma failed: it broke) ({shown})")


def test_a_local_step_publishes_too_and_says_so() -> None:
    run = drive("""
steps:
  a: {local: {function: "m:f"}, properties: {accuracy: "{{ this.result.accuracy }}"}}
  b: {local: {value: 2}, properties: {twice: "{{ this.result * steps.a.result.accuracy }}"}}
""")
    assert run.plan.needs["b"] == ["a"]
    run.finish("a", {"accuracy": 0.5})
    assert [run.state.step(name).properties for name in "ab"] == [{"accuracy": 0.5}, {"twice": 1.0}]
    assert sentence(run.named(ev.StepCompleted)[0], run.state, run.plan) == "a: completed in 0.0s (accuracy: 0.5)"


def test_long_ones_are_cut_for_people() -> None:
    (fact,) = prose.facts({"x": "y" * 500})
    assert len(fact) == prose.FACT
    assert fact.endswith("…")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{{ this.result.nothing }}", "its properties: "),
        ("{{ 1 / this.result.zero }}", "its properties: division by zero"),
        ("{{ steps.c.result }}", "its properties: it needs step c, which did not complete"),
        (f"{{{{ range({MAX_PROPERTIES}) }}}}", "its properties: they are "),
    ],
)
def test_what_cannot_be_published_fails_the_step(value: str, message: str) -> None:
    run = drive(f"""
params: {{zero: {{default: 0}}}}
steps:
  a: {{local: {{value: {{zero: 0}}}}, properties: {{x: "{value}"}}}}
  c: {{local: {{value: "{{{{ 1 / params.zero }}}}"}}, on_failure: continue}}
""")
    assert (run.status("a"), run.failure("a").kind) == ("failed", "properties")
    assert run.failure("a").message.startswith(message)


def test_they_mix_no_cohorts() -> None:
    text = """
steps:
  few: {task: {method: m, organizations: [alpha, beta]}}
  all: {task: {method: m}, properties: {share: "{{ sum(steps.few.results) / sum(this.results) }}"}%s}
"""
    for reason, status in (("", "failed"), (", mixed_cohorts: a share is meant", "completed")):
        run = drive(text % reason)
        run.answer("few", "alpha", "beta")
        run.answer("all", "alpha", "beta", "gamma")
        assert run.status("all") == status
    assert run.state.step("all").properties == {"share": 2 / 3}


def test_a_check_that_fails_comes_first() -> None:
    run = drive("""
steps:
  a:
    local: {value: 1}
    checks: [{that: "{{ this.result > 1 }}", message: too small}]
    properties: {x: "{{ this.result.nothing }}"}
""")
    assert run.failure("a").message == "too small"


def test_they_may_be_mended_while_the_step_waits_and_the_plan_shows_them() -> None:
    before, after = (
        question.fingerprints(make(text), {})["a"] for text in (TASK, TASK.replace("fixed: 1", "fixed: 2"))
    )
    assert before.asked == after.asked
    assert [key for key in before.settled if before.settled[key] != after.settled[key]] == ["properties"]
    assert next(preview(make(TASK))).as_json()["properties"]["fixed"] == 1


MIXED = """
steps:
  a: {task: {method: m, organizations: [alpha, beta]}}
  b: {task: {method: m, organizations: [beta, gamma]}}
  both: {local: {value: "{{ [steps.a.results, steps.b.results] }}"}, mixed_cohorts: it is meant}
  after:
    local: {value: "{{ steps.both.result | length }}"}
    properties: {n: "{{ this.result }}", how: "{{ this.status }}"}
  table:
    foreach:
      over: [1]
      steps: {one: {local: {value: "{{ steps.both.result }}"}}}
      result: "{{ steps.one.result }}"
    properties: {who: "{{ this.responded }}"}
    checks: [{that: "{{ this.responded | length == 3 }}", message: not all}]
outputs: {o: "{{ steps.after.result }}"}
"""


def test_facts_need_not_accept_again_what_was_accepted_where_it_was_mixed() -> None:
    run = drive(MIXED)
    run.answer("a", "alpha", "beta")
    run.answer("b", "beta", "gamma")
    assert run.state.status == "completed", run.state.failure
    assert run.state.step("after").properties == {"n": 2, "how": "completed"}


def test_what_is_said_of_a_step_with_steps_in_it_knows_whose_answers_it_comes_of() -> None:
    run = drive(MIXED)
    run.answer("a", "alpha", "beta")
    run.answer("b", "beta", "gamma")
    assert run.state.step("table").properties == {"who": ["alpha", "beta", "gamma"]}


def test_facts_that_bring_in_other_cohorts_are_refused_still() -> None:
    text = MIXED.replace("{{ this.result }}", "{{ [this.result, steps.c.results] }}")
    run = drive(text.replace("steps:\n", "steps:\n  c: {task: {method: m, organizations: [alpha, gamma]}}\n", 1))
    run.answer("a", "alpha", "beta")
    run.answer("b", "beta", "gamma")
    run.answer("c", "alpha", "gamma")
    assert run.failure("after").kind in ("cohorts", "properties")
