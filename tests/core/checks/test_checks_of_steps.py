"""Checks and schemas for results: what an organization answers is judged at once, a step when all else is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from driver import Driver, drive, make

from v6flow.core.execution import answers
from v6flow.core.execution import events as ev
from v6flow.core.kinds import TaskPlan
from v6flow.core.planning import question
from v6flow.core.views.preview import preview

if TYPE_CHECKING:
    from v6flow.core.planning.plan import Plan


def task(*settings: str) -> str:
    lines = "\n    ".join(["task: {method: m}", *settings])
    return f'params: {{least: {{default: 10}}}}\nsteps:\n  a:\n    {lines}\noutputs: {{o: "{{{{ steps.a.status }}}}"}}'


def verdict(made: Plan, value: Any, organization: str = "beta") -> tuple[str, str] | None:
    """The kind of the failure that an answer is, and what is said."""
    step = made.steps["a"]
    assert isinstance(step, TaskPlan)
    failure = answers.judge(made.directory, step, "a", organization, value, made.params)
    if failure is None:
        return None
    assert (failure.step, failure.organization) == ("a", organization)
    return failure.kind, failure.message


EACH = """\
checks:
      - {each: "{{ result.n >= params.least }}", message: "fewer than {{ params.least }} at {{ organization }}"}"""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"n": 10}, None),
        ({"n": 9}, "fewer than 10 at beta"),
        ({"m": 9}, "it cannot be judged whether result.n >= params.least: "),
        ([], "it cannot be judged whether result.n >= params.least: "),
    ],
)
def test_each_judges_what_an_organization_answers(value: Any, message: str | None) -> None:
    found = verdict(make(task(EACH)), value)
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == "check"
        assert found[1].startswith(message)


def test_a_condition_that_is_neither_true_nor_false_is_not_met() -> None:
    made = make(task('checks: [{each: "{{ result.n }}", message: m}]'))
    assert verdict(made, {"n": 1}) == ("check", "a check must be true or false, and result.n is a number")


def test_a_message_that_cannot_be_filled_in_stands_as_it_is_written() -> None:
    made = make(task('checks: [{each: "{{ false }}", message: "n = {{ result.n }}"}]'))
    assert verdict(made, {"n": 1}) == ("check", "n = 1")
    assert verdict(made, {}) == ("check", "n = {{ result.n }}")


def test_the_schema_comes_before_the_checks() -> None:
    made = make(task("output_schema: {type: object, required: [n], properties: {n: {type: integer}}}", EACH))
    assert verdict(made, {"n": 10}) is None
    assert verdict(made, {"n": "x"}) == ("output_schema", "its result.n: expected a whole number, got text")
    assert verdict(made, {"n": 1}) == ("check", "fewer than 10 at beta")


def test_an_organization_that_fails_a_check_is_told_in_the_steps_failure() -> None:
    run = drive(task("quorum: 2"))
    run.answer("a", "alpha")
    run.fail("a", "beta", "gamma", kind="check", message="fewer than 10")
    assert (run.failure().kind, run.failure().message) == (
        "check",
        "beta, gamma failed: fewer than 10 (1 of 3 answered, 2 must)",
    )


# -- the step

THAT = """checks: [{that: "{{ this.results | sum > 5 }}", message: "only {{ this.results | sum }} in all"}]"""


def test_that_judges_the_step_when_its_quorum_is_met() -> None:
    run = drive(task(THAT))
    run.answer("a", "alpha", "beta", "gamma", value=2)
    assert run.state.status == "completed"
    run = drive(task(THAT))
    run.answer("a", "alpha", "beta", "gamma")
    assert (run.status("a"), run.failure().kind, run.failure().message) == ("failed", "check", "only 3 in all")
    assert run.state.step("a").responded == ["alpha", "beta", "gamma"]


def test_a_quorum_that_is_not_met_comes_first() -> None:
    run = drive(task(THAT))
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma")
    assert run.failure().kind == "crashed"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{{ this.responded == ['alpha', 'beta'] }}", True),
        ("{{ this.missing | length == 0 and this.failed == ['gamma'] }}", True),
        ("{{ this.failures.gamma.status == 'crashed' }}", True),
        ("{{ this.status == 'completed' and this.error is none }}", True),
        ("{{ steps.b.result == this.results[0] }}", True),
        ("{{ this.by_organization.alpha > 5 }}", False),
    ],
)
def test_what_is_known_of_the_step(condition: str, holds: bool) -> None:
    run = drive(f"""
steps:
  a:
    task: {{method: m}}
    quorum: 2
    checks: [{{that: "{condition}", message: no}}]
  b: {{local: {{value: 1}}}}
""")
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma")
    assert run.status("a") == ("completed" if holds else "failed")


def test_other_steps_in_a_check_are_waited_for() -> None:
    made = make("""
steps:
  a: {local: {value: 1}, checks: [{that: "{{ steps.b.result > 0 }}", message: "m {{ steps.c.result }}"}]}
  b: {local: {value: 1}}
  c: {local: {value: 1}}
""")
    assert made.needs["a"] == ["b", "c"]


@pytest.mark.parametrize("kind", ["value: {n: 3}", "function: 'm:f'"])
def test_local_steps_have_checks_and_a_schema(kind: str) -> None:
    def end(settings: str) -> Driver:
        run = drive(f"steps:\n  a:\n    local: {{{kind}}}\n    {settings}\n")
        if run.children:
            run.finish("a", {"n": 3})
        return run

    assert end('checks: [{that: "{{ this.result.n == 3 }}", message: m}]').state.status == "completed"
    failed = end('checks: [{that: "{{ this.result.n > 3 }}", message: "n = {{ this.result.n }}"}]')
    assert (failed.failure().kind, failed.failure().message) == ("check", "n = 3")
    failed = end("output_schema: {properties: {n: {type: string}}}")
    assert failed.failure().kind == "output_schema"
    assert failed.failure().message.startswith("its result.n: expected text, got a number")


def test_the_log_of_a_function_whose_result_is_refused_is_kept() -> None:
    run = drive("steps:\n  a: {local: {function: 'm:f'}, output_schema: {type: string}}\n")
    run.write(run.scheduler.computed("a", 1, "digest", 0.0))
    run.go()
    assert (run.status("a"), run.state.step("a").log) == ("failed", "digest")


def test_a_run_that_is_taken_up_again_is_judged_the_same() -> None:
    run = drive(task(THAT))
    run.answer("a", "alpha", "beta", "gamma")
    before_verdict = [type(event) for event in run.events].index(ev.StepFailed)
    again = run.resume(keep=before_verdict)
    assert again.failure("a") == run.failure("a")
    assert again.asked("a") == []


def test_what_is_judged_last_may_be_mended() -> None:
    before = question.fingerprints(make(task(THAT)), {})["a"]
    after = question.fingerprints(make(task(THAT.replace("> 5", "> 2"))), {})["a"]
    assert before.asked == after.asked
    assert [key for key in before.settled if before.settled[key] != after.settled[key]] == ["checks"]
    assert {"each", "output_schema"} <= set(before.asked)


def test_the_plan_shows_them() -> None:
    (shown,) = preview(make(task(THAT, "output_schema: {type: integer}")))
    assert shown["checks"] == [
        {"that": "{{ this.results | sum > 5 }}", "message": "only {{ this.results | sum }} in all"}
    ]
    assert shown["output_schema"] == {"type": "integer"}
    assert json.dumps(shown)
