"""Smallest counts and the policy of a federation: what nobody may see is refused, and no workflow lifts a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from driver import Driver, drive, make, workflow

from v6flow.backends.base import FederationFile
from v6flow.backends.embedded.configuration import EmbeddedFederation
from v6flow.core.directory import Directory
from v6flow.core.execution import answers, disclosure
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import replay
from v6flow.core.kinds import TaskPlan
from v6flow.core.language import document
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import planner
from v6flow.core.policy import Policy, parse
from v6flow.core.views.preview import preview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.planning.plan import Plan

ORGANIZATIONS = ("alpha", "beta", "gamma")


def under(text: str, policy: Policy, *, image: str = "i", defaults: Mapping[str, Any] | None = None) -> Plan:
    """The plan of a text on a federation with a policy."""
    directory = Directory(ORGANIZATIONS, defaults={"image": image, **(defaults or {})}, policy=policy)
    return planner.make(workflow(text), {}, directory, run="w-1")


def refused(text: str, policy: Policy, **options: Any) -> str:
    with pytest.raises(InvalidError) as caught:
        under(text, policy, **options)
    (problem,) = caught.value.problems
    return f"{problem.position.line}:{problem.position.column}: {problem.message}"


def failure(made: Plan, value: Any) -> ev.Failure | None:
    step = made.steps["a"]
    assert isinstance(step, TaskPlan)
    return answers.judge(made.directory, step, "a", "beta", value, made.params)


def one(settings: str = "") -> str:
    return f"steps:\n  a:\n    task: {{method: m}}\n    {settings}\n"


@pytest.mark.parametrize("count", [10, 10.0, 11, 10**400])
def test_a_result_about_enough_is_taken(count: float) -> None:
    assert failure(make(one("disclosure: {min_count: 10}")), {"count": count}) is None


@pytest.mark.parametrize("count", [9, 9.999, 0, -20, math.nan])
def test_a_result_about_too_few_is_refused_and_the_number_is_not_told(count: float) -> None:
    found = failure(make(one("disclosure: {min_count: 10}")), {"count": count, "sum": 4711})
    assert found == ev.Failure("disclosure", "its result is refused unseen: it is about fewer than 10", "a", "beta")


@pytest.mark.parametrize(
    "result", [{}, [], 5, "4711", {"count": None}, {"count": "4711"}, {"count": True}, {"count": math.inf}]
)
def test_a_result_that_does_not_tell_how_many_it_is_about_is_refused(result: Any) -> None:
    found = failure(make(one("disclosure: {min_count: 10}")), result)
    assert found is not None
    assert found.kind == "disclosure"
    assert found.message == "its result is refused unseen: it does not say how many it is about, at result.count"
    assert "4711" not in str(found)


def test_count_says_where_and_params_decide_how_many() -> None:
    made = make("""
params: {least: {default: 3}, column: {default: age}}
steps:
  a:
    task: {method: m}
    disclosure: {min_count: "{{ params.least }}", count: "{{ result[params.column] | map(attribute='n') | min }}"}
""")
    assert failure(made, {"age": [{"n": 5}, {"n": 3}]}) is None
    assert failure(made, {"age": [{"n": 5}, {"n": 2}]}) is not None


def test_it_comes_before_the_schema_and_the_checks() -> None:
    made = make(
        one("""disclosure: {min_count: 10}
    output_schema: {properties: {count: {type: string}}}
    checks: [{each: "{{ false }}", message: m}]""")
    )
    assert (failure(made, {"count": 9}) or made).kind == "disclosure"  # type: ignore[union-attr]  # it fails otherwise
    assert (failure(made, {"count": 10}) or made).kind == "output_schema"  # type: ignore[union-attr]  # as above


def test_the_step_wins_over_defaults_and_these_over_the_federations() -> None:
    def least(text: str) -> int | None:
        step = under(text, Policy(), defaults={"disclosure": {"min_count": 2, "count": "{{ result.n }}"}}).steps["a"]
        assert isinstance(step, TaskPlan)
        return step.disclosure.min_count

    assert least(one()) == 2
    assert least("defaults: {disclosure: {min_count: 3}}\n" + one()) == 3
    assert least("defaults: {disclosure: {min_count: 3}}\n" + one("disclosure: {min_count: 1}")) == 1


@pytest.mark.parametrize(
    ("own", "least"),
    [
        ("", 10),
        ("disclosure: {min_count: 5}", 10),
        ("disclosure: {min_count: 20}", 20),
        ("disclosure: {count: '{{ result.count }}'}", 10),
    ],
)
def test_of_the_policy_and_the_step_the_stricter_wins(own: str, least: int) -> None:
    made = under(one(own), Policy(min_count=10))
    assert failure(made, {"count": least}) is None
    assert failure(made, {"count": least - 1}) is not None
    assert next(preview(made)).as_json()["disclosure"] == {"min_count": least, "count": "{{ result.count }}"}


@pytest.mark.parametrize(
    "settings",
    [
        "disclosure: {count: '{{ result.count + 1000 }}'}",
        "disclosure: {min_count: 1, count: '{{ result.count + 1000 }}'}",
        "disclosure: {count: '{{ result.count * params.factor }}'}",
        "disclosure: {count: '{{ result.sum }}'}",
        "disclosure: {count: '{{ 1000 if result else 0 }}'}",
        "allow_nonfinite: true",
    ],
)
def test_a_workflow_does_not_lift_the_policy(settings: str) -> None:
    for text in (one(settings), f"defaults: {{{settings}}}\n" + one() if settings.startswith("disclosure") else one()):
        found = failure(
            under("params: {factor: {default: 1000}}\n" + text, Policy(min_count=250)), {"count": 17, "sum": 680}
        )
        assert found is not None
        assert (found.kind, found.message) == ("disclosure", "its result is refused unseen: it is about fewer than 250")


def test_a_called_workflow_does_not_lift_the_policy() -> None:
    inner = "name: inner\n" + one("disclosure: {count: '{{ result.count + 1000 }}'}")
    found = workflow("steps: {w: {workflow: {file: inner.yaml}}}\n", {"inner.yaml": inner})
    directory = Directory(ORGANIZATIONS, defaults={"image": "i"}, policy=Policy(min_count=250))
    made = planner.make(found, {}, directory, run="w-1")
    step = made.steps["w.a"]
    assert isinstance(step, TaskPlan)
    assert (answers.judge(directory, step, "w.a", "beta", {"count": 17}, {}) or made).kind == "disclosure"  # type: ignore[union-attr]  # it fails otherwise


def test_what_a_step_counts_is_judged_beside_the_policy() -> None:
    own = one("disclosure: {min_count: 20, count: '{{ min(result.groups) }}'}")
    made = under(own, Policy(min_count=10))
    assert failure(made, {"count": 40, "groups": [20, 20]}) is None
    assert failure(made, {"count": 40, "groups": [19, 21]}) is not None
    assert failure(made, {"count": 19, "groups": [20, 20]}) is not None, "the step's own min_count is for both"
    assert failure(made, {"groups": [20, 20]}) is not None
    assert next(preview(made)).as_json()["disclosure"] == {
        "min_count": 20,
        "count": "{{ result.count }}",
        "also": ["{{ min(result.groups) }}"],
    }


# -- what counts for a policy is declared in the federation file


def counting(counts: dict[str, dict[str, str]], **limits: Any) -> Policy:
    return parse({"min_count": 250, "counts": counts, **limits})


@pytest.mark.parametrize(
    ("counts", "image"),
    [
        ({"i": {"m": "{{ result.n }}"}}, "i"),
        ({"i": {"m*": "{{ result.n }}"}}, "i"),
        ({"i*": {"m": "{{ result.n }}"}}, "i"),
        ({"*": {"*": "{{ result.n }}"}}, "i"),
        ({"i": {"m": "{{ result.n }}"}, "i*": {"m": "{{ result.sum }}"}}, "i"),
        ({"i:1": {"m": "{{ result.n }}"}, "i": {"m": "{{ result.sum }}"}}, "i:1"),
        ({"r.example:5000/i": {"m": "{{ result.n }}"}}, "r.example:5000/i:1.0"),
        ({"r.example:5000/i": {"m": "{{ result.n }}"}}, "r.example:5000/i@sha256:00"),
        ({"r.example:5000/i:1.0": {"m": "{{ result.n }}"}}, "r.example:5000/i"),
        ({"r.example:5000/i:1.0": {"m": "{{ result.n }}"}}, "r.example:5000/i:1.0@sha256:00"),
        ({"i:1": {"m": "{{ result.sum }}"}, "i:2": {"m": "{{ result.n }}"}}, "i:3"),
        ({"i": {"m": "{{ result.n if organization == 'beta' else result.sum }}"}}, "i"),
    ],
)
def test_the_federation_declares_what_counts(counts: dict[str, dict[str, str]], image: str) -> None:
    made = under(one(), counting(counts), image=image)
    assert failure(made, {"count": 1, "n": 250, "sum": 900}) is None
    assert failure(made, {"count": 900, "n": 249, "sum": 900}) is not None
    assert failure(made, {"count": 900, "sum": 900}) is not None


@pytest.mark.parametrize(
    "counts", [{"i": {"other": "{{ result.n }}"}}, {"j": {"m": "{{ result.n }}"}}, {"ii": {"m": "{{ result.n }}"}}]
)
def test_where_nothing_is_declared_the_key_count_counts(counts: dict[str, dict[str, str]]) -> None:
    made = under(one(), counting(counts))
    assert failure(made, {"count": 250}) is None
    assert failure(made, {"n": 900, "count": 249}) is not None


@pytest.mark.parametrize(
    "count",
    [True, "900", math.nan, math.inf, -math.inf, -900, None, [900], [], {"n": 900}],
)
def test_what_is_no_count_is_refused(count: Any) -> None:
    made = under(one("allow_nonfinite: true"), counting({"i": {"m": "{{ result.n }}"}}))
    found = failure(made, {"n": count, "count": 900})
    assert found is not None
    assert found.kind == "disclosure"
    assert "900" not in str(found)


def test_the_hint_says_where_the_federation_declares_it() -> None:
    found = failure(under(one(), Policy(min_count=250)), {"n": 900})
    assert found is not None
    declared = 'counts: {"i": {"m": "{{ result.KEY }}"}}'
    assert found.hint == f"declare where it does, under `policy` in the federation file: {declared}"


def test_a_steps_own_smallest_count_is_of_what_the_federation_declares() -> None:
    made = under(one("disclosure: {min_count: 300}"), counting({"i": {"m": "{{ result.n }}"}}))
    assert failure(made, {"n": 300}) is None
    assert failure(made, {"n": 299, "count": 900}) is not None


# -- what a resume may not make laxer


def test_of_two_policies_the_stricter_limits_hold() -> None:
    began = parse({"min_count": 250, "max_queries": 2, "images": ["a", "r/*"]})
    now = parse({"min_count": 10, "max_queries": 5, "images": ["a", "b", "r/x*", "r/y"]})
    assert now.stricter(began) == parse({"min_count": 250, "max_queries": 2, "images": ["a", "r/x*", "r/y"]})
    assert began.stricter(now).min_count == 250
    assert Policy().stricter(began) == began
    assert began.stricter(Policy()) == began
    assert began.stricter(began) == began


def test_of_two_policies_each_declared_count_must_be_enough() -> None:
    began = counting({"i": {"m": "{{ result.n }}"}})
    for now in (counting({"i": {"m": "{{ result.n + 1000 }}"}}), counting({"*": {"m": "{{ result.n }}"}}), Policy()):
        both = now.stricter(began)
        made = under(one(), both)
        assert failure(made, {"n": 250, "count": 1}) is None
        assert failure(made, {"n": 249, "count": 900}) is not None
        assert parse(both.raw()) == both


def test_a_count_that_only_one_of_two_policies_declares_counts_beside_the_key_count() -> None:
    declares, silent = counting({"i": {"m": "{{ result.n + 0 }}"}}), Policy(min_count=10)
    for both in (declares.stricter(silent), silent.stricter(declares)):
        made = under(one(), both)
        assert failure(made, {"n": 250}) is None, "nothing else says how many it is about"
        assert failure(made, {"n": 250, "count": 250}) is None
        assert failure(made, {"n": 250, "count": 249}) is not None
        assert failure(made, {"count": 250}) is not None
        assert parse(both.raw()) == both
        assert silent.stricter(declares.stricter(both)) in (both, declares.stricter(silent), silent.stricter(declares))


def test_nothing_is_refused_where_nobody_says_so() -> None:
    assert failure(make(one()), {"count": 0}) is None
    assert "disclosure" not in next(preview(make(one()))).as_json()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("disclosure: {count: '{{ result.n }}'}", "disclosure says no min_count, and the federation demands none"),
        ("disclosure: {min_count: '{{ params.zero }}'}", "min_count is a whole number from 1, not 0"),
        ("disclosure: {min_count: '{{ params.text }}'}", "min_count is a whole number from 1, not 'x'"),
    ],
)
def test_what_would_refuse_nothing_is_no_disclosure(settings: str, message: str) -> None:
    found = workflow("params: {zero: {default: 0}, text: {default: x}}\n" + one(settings))
    with pytest.raises(InvalidError) as caught:
        planner.make(found, {"zero": 0, "text": "x"}, Directory(ORGANIZATIONS, defaults={"image": "i"}))
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.position.line == 7


# -- what is withheld of subtasks

NAMES = {"organization", "status", "task", "parent", "by", "run"}
"""What of a subtask is not from its algorithm: names, and the server's word for how it ended."""


def test_nothing_that_a_subtask_printed_or_raised_is_left_of_it() -> None:
    texts: dict[str, Any] = {name: "patient 4711" for name, of in ev.Subtask.__annotations__.items() if "str" in of}
    (bare,) = disclosure.withheld([ev.Subtask(**texts)])
    told = {name for name in texts if getattr(bare, name) == "patient 4711"}
    assert told <= NAMES
    assert bare.message == "the details are withheld"


# -- images


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [
        (("i",), True),
        (("registry.example/study/a", "i"), True),
        (("*",), True),
        (("i*",), True),
        (("j",), False),
        (("ii",), False),
        (("registry.example/*",), False),
    ],
)
def test_images_are_names_or_what_names_begin_with(patterns: tuple[str, ...], allowed: bool) -> None:
    assert Policy(images=patterns).allows("i") is allowed
    if allowed:
        assert under(one(), Policy(images=patterns)).steps
    else:
        told = f"step a: the federation's policy does not allow the image i: it allows {', '.join(patterns)}"
        assert refused(one(), Policy(images=patterns)).endswith(told)


# -- how often an organization is asked

TWO = """
steps:
  a: {task: {method: m}, retry: {attempts: 3, on: [crashed]}}
  b: {task: {method: m, organizations: "{{ steps.c.result }}"}, on_failure: continue}
  c: {local: {value: [alpha, beta]}}
"""


def test_more_task_steps_than_queries_are_refused_before_anything_runs() -> None:
    text = "steps:\n  a: {task: {method: m}}\n  b: {task: {method: m, organizations: [gamma]}}\n"
    assert under(text, Policy(max_queries=2)).steps
    assert refused(text, Policy(max_queries=1)) == (
        "5:3: step b: it would be number 2 that asks gamma: "
        "the federation's policy lets a run ask each organization 1 times at the most"
    )


def driven(most: int) -> Driver:
    return Driver(under(TWO, Policy(max_queries=most)))


def test_who_has_been_asked_often_enough_is_not_asked_by_another_step() -> None:
    run = driven(1)
    assert (run.asked("a"), run.asked("b")) == (["alpha", "beta", "gamma"], [])
    assert (run.failure("b").kind, run.failure("b").message) == (
        "policy",
        "alpha, beta may not be asked again: the federation's policy allows a run 1 each",
    )
    run.answer("a", "alpha", "beta", "gamma")
    assert run.state.status == "completed"


def test_each_attempt_counts() -> None:
    run = driven(2)
    assert run.state.queries == {"alpha": 2, "beta": 2, "gamma": 1}
    run.fail("a", "alpha", "gamma")
    assert run.asked("a") == ["alpha", "beta", "gamma", "gamma"]


def test_what_was_asked_before_a_resume_counts() -> None:
    run = driven(2)
    run.fail("a", "gamma")
    again = run.resume()
    assert again.state.queries == {"alpha": 2, "beta": 2, "gamma": 2}
    again.fail("a", "gamma")
    assert [name for name in again.asked("a") if name == "gamma"] == ["gamma"]  # what was open, adopted
    assert replay(again.events).queries["gamma"] == 2


def test_trying_again_what_failed_keeps_to_it_too() -> None:
    run = driven(1)
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma")
    again = run.resume(retry=("a", "b"))
    assert (again.asked("a"), again.failure("a").kind) == ([], "policy")


def test_without_a_policy_there_is_no_limit() -> None:
    run = drive(TWO)
    assert len(run.requests) == 5


# -- the file


def test_a_policy_comes_from_its_file_and_back() -> None:
    raw = {"min_count": 5, "max_queries": 7, "images": ["a", "b*"], "counts": {"a": {"m": "{{ result.n }}"}}}
    assert parse(raw) == Policy(5, 7, ("a", "b*"), ({"a": {"m": "{{ result.n }}"}},))
    assert parse(raw).raw() == raw
    assert parse({}) == Policy()
    assert Policy().raw() == {}


def directory(policy: dict[str, Any]) -> Directory:
    text = f"v6flow_federation: 1\nbackend: embedded\norganizations: {{alpha: {{}}}}\npolicy: {policy}\n"
    found = document.parse(text, "f.yaml")
    return EmbeddedFederation.parse(FederationFile("f", found.value, str, str)).directory()


def test_the_directory_of_a_federation_has_its_policy_and_a_resume_may_have_another() -> None:
    assert directory({"min_count": 5}).policy == Policy(min_count=5)
    assert directory({"min_count": 5}).identity == directory({"max_queries": 1}).identity
