"""Findings: their order and exit code, and which steps of a plan cannot succeed."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

from typing import Any

import pytest
from driver import make

from v6flow.core.checks import findings
from v6flow.core.checks.findings import Finding, Need, ok, warning
from v6flow.core.language.problem import InvalidError, Position, Problem
from v6flow.errors import AccessError, FederationError, UnreachableError, V6flowError

OFFLINE = warning("beta", "is offline", "wait", organization="beta")


def lost(name: str, message: str = "has no node", *, code: int = 2, **about: Any) -> Finding:
    return Finding(name, "problem", message, "mend it", code, organization=name, **about)


def told(text: str, *found: Finding) -> list[str]:
    return [str(each) for each in findings.blocked(make(text), found)]


def step(rest: str = "", task: str = "") -> str:
    return f"steps: {{a: {{task: {{method: m{task}}}{rest}}}}}"


def test_problems_come_first_and_else_the_order_stays() -> None:
    given = [ok("1", ""), OFFLINE, lost("3"), ok("4", ""), lost("5"), warning("6", "")]
    assert [each.subject for each in findings.ordered(given)] == ["3", "5", "beta", "6", "1", "4"]


def test_the_exit_code_is_that_of_the_gravest_problem() -> None:
    assert findings.exit_code([]) == findings.exit_code([ok("a", ""), OFFLINE]) == 0
    assert findings.exit_code([lost("a"), OFFLINE]) == 2
    assert findings.exit_code([lost("a"), lost("b", code=4)]) == 4
    assert findings.exit_code([lost("a", code=5), lost("b", code=4)]) == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [(FederationError("m"), 2), (AccessError("m"), 4), (UnreachableError("m"), 5), (V6flowError("m"), 2)],
)
def test_an_error_becomes_a_problem(error: V6flowError, code: int) -> None:
    found = findings.of_error("server", error)
    assert (found.subject, found.status, found.message, found.exit_code) == ("server", "problem", "m", code)


def test_the_problems_of_a_file_become_findings() -> None:
    warned = Problem("w", "r", "f.yaml", Position(1, 1), severity="warning")
    error = InvalidError([Problem("m", "r", "f.yaml", Position(3, 4), "h"), warned])
    assert [each.message for each in findings.of_problems("workflow", error)] == ["f.yaml:3:4: m (h) [r]"]


def test_a_finding_reads_as_a_sentence() -> None:
    assert str(OFFLINE) == "beta is offline (wait)"
    assert str(ok("server", "it is there")) == "server: it is there"


def test_what_a_plan_needs() -> None:
    text = """
steps:
  a: {task: {method: m, image: x, databases: [one, {label: two}], organizations: [gamma, alpha]}}
  b: {task: {method: m, organizations: "{{ steps.a.responded }}"}}
  c: {local: {value: 1}}
"""
    assert findings.needs(make(text)) == (
        Need("a", "x", ("one", "two"), ("gamma", "alpha")),
        Need("b", "i", ("default",), ("alpha", "beta", "gamma")),
    )


def test_all_must_answer_and_one_cannot() -> None:
    assert told(step(), lost("gamma")) == [
        "step a: it cannot succeed, since all 3 must answer, and gamma has no node (fix that first, or ask only alpha and beta (organizations: [alpha, beta]), or do without gamma (quorum: 2))"
    ]


def test_those_with_the_same_reason_are_named_together() -> None:
    found = told(step(), lost("alpha"), lost("beta", "is away"), lost("gamma"))
    assert found == [
        "step a: it cannot succeed, since all 3 must answer, and each of alpha and gamma has no node; beta is away (fix that first)"
    ]


def test_one_alone() -> None:
    (found,) = told(step(task=", organization: beta"), lost("beta", code=4))
    assert found.startswith("step a: it cannot succeed, since it asks beta alone, and beta has no node (fix that first")
    assert told(step(task=", organization: beta"), lost("alpha")) == []


@pytest.mark.parametrize(
    ("quorum", "problems", "rule"),
    [
        ("2", ("alpha",), None),
        ("2", ("alpha", "beta"), "2 of 3 must answer"),
        ("50%", ("alpha",), None),
        ("67%", ("alpha",), "all 3 must answer"),
        ("{min: 1, required: [alpha]}", ("beta", "gamma"), None),
        ("{min: 1, required: [alpha]}", ("alpha",), "alpha must answer"),
    ],
)
def test_a_quorum_decides(quorum: str, problems: tuple[str, ...], rule: str | None) -> None:
    found = told(step(f", quorum: {quorum}"), *map(lost, problems))
    assert len(found) == (rule is not None), found
    assert (rule or "") in "".join(found)


def test_a_required_one_can_be_taken_out() -> None:
    (found,) = told(step(", quorum: {min: 1, required: [alpha]}"), lost("alpha"))
    assert "take alpha out of `required`" in found


def test_a_task_for_all_at_once_has_no_quorum_to_lower() -> None:
    (found,) = told(step(task=", isolation: task"), lost("alpha"))
    assert found.endswith("(fix that first, or ask only beta and gamma (organizations: [beta, gamma]))")


def test_a_quorum_that_another_step_decides_needs_one_answer_at_least() -> None:
    text = """
steps:
  n: {local: {value: 2}}
  a: {task: {method: m}, quorum: "{{ steps.n.result }}"}
"""
    assert told(text, lost("alpha"), lost("beta")) == []
    assert len(told(text, lost("alpha"), lost("beta"), lost("gamma"))) == 1


def test_nothing_is_said_of_steps_whose_organizations_another_step_decides() -> None:
    text = 'steps: {a: {task: {method: m, organization: gamma}}, b: {task: {method: m, organizations: "{{ steps.a.responded }}"}}}'
    assert told(text, lost("alpha"), lost("beta")) == []


def test_who_is_offline_may_come_back() -> None:
    assert told(step(), OFFLINE) == []


def test_a_problem_of_an_image_or_a_label_is_one_of_the_steps_that_use_it() -> None:
    text = "steps: {a: {task: {method: m, image: x}}, b: {task: {method: m, databases: [omop]}}}"
    assert [each.split(":")[0] for each in told(text, lost("beta", image="x"))] == ["step a"]
    assert [each.split(":")[0] for each in told(text, lost("beta", label="omop"))] == ["step b"]
    assert told(text, lost("beta", image="x", label="omop")) == []
    assert len(told(text, lost("beta"))) == 2
    everywhere = Finding("image", "problem", "x has no package", None, 2, image="x")
    assert told(text, everywhere) == [
        "step a: it cannot succeed, since all 3 must answer, and each of alpha, beta and gamma cannot do it: x has no package (fix that first)"
    ]
    assert told(text, Finding("rights", "problem", "none", None, 4)) == []


def test_the_exit_code_of_a_blocked_step_is_that_of_its_gravest_cause() -> None:
    (found,) = findings.blocked(make(step()), [lost("alpha"), lost("beta", code=4)])
    assert (found.subject, found.exit_code) == ("step a", 4)


def test_where_the_run_goes_on_it_is_a_warning() -> None:
    weighed = findings.weigh(make(step(", on_failure: continue")), [lost("alpha")])
    assert [(each.subject, each.status) for each in weighed] == [("step a", "warning"), ("alpha", "warning")]
    assert findings.exit_code(weighed) == 0


def test_a_problem_that_no_step_fails_of_is_a_warning() -> None:
    plan = make("steps: {a: {task: {method: m}, quorum: 2}, b: {task: {method: m, image: x, organizations: [gamma]}}}")
    given = [ok("server", ""), lost("alpha"), lost("gamma", image="x"), Finding("rights", "problem", "none", None, 4)]
    weighed = findings.weigh(plan, given)
    assert [(each.subject, each.status) for each in weighed] == [
        ("step b", "problem"),
        ("server", "ok"),
        ("alpha", "warning"),
        ("gamma", "problem"),
        ("rights", "problem"),
    ]
    assert [each.subject for each in findings.weigh(plan, [])] == ["workflow"]
