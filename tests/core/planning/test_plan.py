"""The plan: settings resolved, ids filled in, ordered; with the place of every setting that cannot be."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

from typing import Any

import pytest
from driver import make, workflow
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core import json
from v6flow.core.directory import Directory
from v6flow.core.expressions import Template
from v6flow.core.kinds import LocalPlan, TaskPlan
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import plan as planning
from v6flow.core.planning import planner, question
from v6flow.core.planning.dependencies import look_ups


def task(text: str, step: str = "a", **options: Any) -> TaskPlan:
    found = make(text, **options).steps[step]
    assert isinstance(found, TaskPlan)
    return found


def local(text: str) -> LocalPlan:
    found = make(text).steps["a"]
    assert isinstance(found, LocalPlan)
    return found


def refused(text: str, **options: Any) -> list[str]:
    """Each problem as line:column: message (hint)."""
    with pytest.raises(InvalidError) as caught:
        make(text, **options)
    return [
        f"{each.position.line}:{each.position.column}: {each.message}" + (f" ({each.hint})" if each.hint else "")
        for each in caught.value.problems
    ]


def test_built_in_settings() -> None:
    step = task("steps: {a: {task: {method: m}}}")
    assert (step.image, step.organizations, step.isolation, step.timeout) == (
        "i",
        ("alpha", "beta", "gamma"),
        "organization",
        86400,
    )
    assert (step.quorum.minimum, step.quorum.wait, step.retry.attempts) == ("all", True, 1)
    assert step.retry.on == ("start_failed", "unknown")
    assert [each.label for each in step.databases] == ["default"]
    assert (step.label, step.description, step.central, step.single) == ("", "", False, False)
    assert local("steps: {a: {local: {function: 'm:f'}}}").timeout == 3600


def test_the_step_wins_over_the_files_defaults_and_these_over_the_federations() -> None:
    text = """
defaults: {timeout: 1h, quorum: {min: 2, required: [beta]}}
steps:
  a:
    task: {method: m, image: mine}
    quorum: {min: 3}
"""
    step = task(text, defaults={"image": "theirs", "timeout": "3h", "retry": {"attempts": 2, "delay": "1m"}})
    assert (step.image, step.timeout, step.retry.attempts, step.retry.delay) == ("mine", 3600, 2, 60)
    assert (step.quorum.minimum, step.quorum.required) == (3, ())  # a key replaces the whole value


def test_params_are_filled_in() -> None:
    text = """
params: {who: {default: [alpha]}, least: {default: 2}, hours: {default: 2}, db: {default: omop}, tries: {default: 3}}
steps:
  a:
    task:
      method: "m_{{ params.db }}"
      organizations: "{{ params.who }}"
      databases: [{label: "{{ params.db }}", query: q, arguments: {a: 1}, preprocessing: [{function: f}]}]
      name: "{{ run.name }} {{ params.db }}"
    timeout: "{{ params.hours }}h"
    quorum: "{{ params.least }}"
    retry: {attempts: "{{ params.tries }}", delay: 30s, backoff: 2, max_delay: 10m, on: [crashed]}
"""
    step = task(text, params={"who": ["beta", "alpha"]})
    assert (step.method, step.organizations, step.single, step.timeout) == (
        "m_omop",
        ("beta", "alpha"),
        False,
        7200,
    )
    assert (step.databases[0].label, step.databases[0].query, dict(step.databases[0].arguments)) == (
        "omop",
        "q",
        {"a": 1},
    )
    assert (step.label, step.quorum.minimum, step.retry.attempts, step.retry.max_delay) == (
        "w omop",
        2,
        3,
        600,
    )


def test_what_steps_decide_stays_open() -> None:
    text = """
params: {hub: {default: alpha}}
steps:
  n: {local: {value: 1}}
  a:
    task: {method: m, organizations: "{{ steps.n.result }}", kwargs: {x: "{{ params.hub }}"}}
    quorum: {min: "{{ steps.n.result }}", required: ["{{ params.hub }}"], wait: quorum}
"""
    step = task(text)
    assert isinstance(step.organizations, Template)
    assert isinstance(step.quorum.minimum, Template)
    assert (step.quorum.required, step.quorum.wait) == (("alpha",), False)


@pytest.mark.parametrize(
    ("settings", "single"),
    [
        ("organization: alpha", True),
        ("organization: '{{ params.who }}'", True),
        ("organizations: [alpha]", True),
        ("organizations: [alpha, beta]", False),
        ("organizations: '{{ [params.who] }}'", False),
        ("description: of all", False),
    ],
)
def test_the_shape_is_known_from_the_file_alone(settings: str, single: bool) -> None:
    text = f"params: {{who: {{default: alpha}}}}\nsteps: {{a: {{task: {{method: m, {settings}}}}}}}"
    assert task(text).single is single
    assert task(text, defaults={"organizations": ["beta"]}).single is single
    with_default = text.replace("steps:", "defaults: {organizations: [gamma]}\nsteps:")
    assert task(with_default).single is (single or "description" in settings)


ORGANIZATIONS = "no organization 'alfa' in the federation, which has alpha, beta, gamma (did you mean alpha?)"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("task: {method: m, organizations: [beta, alfa]}", f"6:45: step a: {ORGANIZATIONS}"),
        ("task: {method: m, organization: alfa}", f"6:37: step a: {ORGANIZATIONS}"),
        ("task: {method: m, organizations: '{{ params.alfa }}'}", f"6:39: step a: {ORGANIZATIONS}"),
        ("task: {method: m, organizations: '{{ params.twice }}'}", "6:39: step a: the organization alpha stands twice"),
        ("task: {method: m, organizations: '{{ params.empty }}'}", "6:39: step a: an empty list of organizations asks nobody"),
        ("task: {method: m, organizations: '{{ params.n }}'}", "6:39: step a: organizations is a list of names, not 9"),
        ("{task: {method: m}, quorum: {min: 1, required: [alfa]}}", f"6:33: step a: {ORGANIZATIONS}"),
        ("{task: {method: m}, quorum: 4}", "6:33: step a: the quorum is 4, but only 3 are asked"),
        ("{task: {method: m, organizations: [beta]}, quorum: {min: 2}}",
         "6:56: step a: the quorum is 2, but only 1 is asked"),
        ("{task: {method: m, organizations: [beta]}, quorum: {required: [alpha]}}",
         "6:56: step a: the quorum requires alpha, who is not asked"),
        ("{task: {method: m}, quorum: '{{ params.empty }}'}",
         "6:34: step a: a quorum is all, a number, a percentage or a mapping, not []"),
        ("{task: {method: m}, timeout: '{{ params.n }}'}",
         "6:35: step a: '9' is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s"),
        ("{task: {method: m}, retry: '{{ params.empty }}'}", "6:33: step a: retry is a number of attempts or a mapping, not []"),
        ("{task: {method: m}, retry: {attempts: '{{ params.zero }}'}}", "6:32: step a: attempts is a number from 1, not 0"),
        ("{task: {method: m}, retry: {attempts: 2, backoff: '{{ params.zero }}'}}",
         "6:32: step a: backoff is a number from 1, not 0"),
        ("task: {method: '{{ params.n }}'}", "6:21: step a: a method is the name of a function, not 9"),
        ("task: {method: m, databases: '{{ params.n }}'}", "6:35: step a: databases is a list, not 9"),
        ("task: {method: m, databases: ['{{ params.n }}']}",
         "6:34: step a: a database is a label or a mapping with a label, not 9"),
        ("task: {method: m, isolation: '{{ params.n }}'}", "6:35: step a: isolation is organization or task, not 9"),
        ("{task: {method: m, isolation: '{{ params.task }}'}, quorum: 2}",
         "6:36: step a: isolation: task goes with quorum: all only, since one failure fails the siblings"),
        ("{task: {method: m, isolation: '{{ params.task }}'}, retry: 2}", "6:64: step a: isolation: task goes with one attempt only"),
        ("task: {method: m, organization: alpha, central: '{{ params.n }}'}", "6:54: step a: central is true or false, not 9"),
        ("task: {method: m, databases: ['{{ params.alfa.x }}']}",
         "6:39: step a: params.alfa is a list and has no key 'x' (take an item by [0], or what all items have by map(attribute='…'))"),
        ("{local: {function: 'm:f'}, timeout: '{{ params.n }}'}",
         "6:42: step a: '9' is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(step: str, problem: str) -> None:
    defaults = {
        "alfa": "[alfa]",
        "twice": "[alpha, alpha]",
        "empty": "[]",
        "n": "9",
        "zero": "0",
        "task": "task",
    }
    params = "params: {" + ", ".join(f"{name}: {{default: {value}}}" for name, value in defaults.items()) + "}"
    assert refused(f"{params}\nsteps:\n  a:\n    {step}\n") == [problem]


def test_all_problems_come_at_once_in_the_files_order() -> None:
    text = """
steps:
  z: {task: {method: m}, quorum: 9}
  a: {task: {method: m, organization: omega}}
"""
    assert [each.split(":")[0] for each in refused(text)] == ["5", "6"]


def test_images() -> None:
    found = workflow("steps: {a: {task: {method: m}}, b: {task: {method: m, image: demo/avarage}}}")
    with pytest.raises(InvalidError) as caught:
        planner.make(found, {}, Directory(("alpha",), images=("demo/average",)))
    first, second = caught.value.problems
    assert first.message == "step a: no image: say it in the step, in defaults, or in the federation's defaults"
    assert second.message == (
        "step b: the federation has no algorithm for the image demo/avarage: it has demo/average (did you mean demo/average?)"
    )
    assert second.position.column == found.document.position(("steps", "b", "task", "image")).column


def test_a_federation_without_organizations() -> None:
    found = workflow("steps: {a: {task: {method: m, image: i}}}")
    with pytest.raises(InvalidError, match="there is nobody to ask"):
        planner.make(found, {}, Directory(()))


def test_the_order_is_the_files_where_it_may_be() -> None:
    made = make("""
steps:
  late: {local: {value: "{{ steps.early.result }}"}}
  first: {local: {value: 1}}
  early: {local: {value: 1}}
""")
    assert list(made.steps) == list(made.needs) == ["first", "early", "late"]
    assert made.needs["late"] == ["early"]


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.lists(st.text(max_size=2), max_size=2), st.integers(1, 3)),
        unique_by=str,
    )
)
def test_every_question_has_its_own_token(questions: list[tuple[str, list[str], int]]) -> None:
    tokens = [planning.token("run", step, tuple(names), attempt) for step, names, attempt in questions]
    assert len(set(tokens)) == len(tokens)
    assert all(len(token) == 32 and int(token, 16) >= 0 for token in tokens)
    assert planning.token("other", "a", ("b",), 1) != planning.token("run", "a", ("b",), 1)


PARTS = """
params: {n: {default: 1}}
steps:
  a:
    task: {method: m, kwargs: {x: "{{ params.n }}"}, databases: [{label: d, query: q}]}
    timeout: 1h
    quorum: {min: 2}
  b:
    local: {function: "f.py:f", kwargs: {y: "{{ steps.a.results }}"}}
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("method: m", "method: n", ["a"]),
        ("query: q", "query: r", ["a"]),
        ("{x:", "{z:", ["a"]),
        ("min: 2", "min: 3", ["a"]),
        ("databases", "organizations: [alpha, beta], databases", ["a"]),
        ("timeout: 1h", "allow_nonfinite: true", ["a"]),
        ("timeout: 1h", "timeout: 2h", []),
        ("timeout: 1h", "retry: 3", []),
        ("timeout: 1h", "on_failure: continue", []),
        ("timeout: 1h", "mixed_cohorts: so", []),
        ("f.py:f", "f.py:g", ["b"]),
        ("{y:", "{z:", ["b"]),
        ("  a:\n    task: {", "  a:\n    description: why\n    task: {", []),
    ],
)
def test_parts_tell_what_decides_a_result(old: str, new: str, changed: list[str]) -> None:
    assert old in PARTS
    before = question.fingerprints(make(PARTS), {"b": "digest"})
    after = question.fingerprints(make(PARTS.replace(old, new)), {"b": "digest"})
    assert [name for name in before if before[name] != after[name]] == changed


def test_parts_have_the_source_and_the_federation() -> None:
    made = make(PARTS)
    assert question.fingerprints(made, {"b": "one"})["b"] != question.fingerprints(made, {"b": "two"})["b"]
    assert question.fingerprints(made, {})["a"].asked["federation"] == "here"


def test_digest_and_moments() -> None:
    assert json.digest({"a": 1, "b": [2]}) == json.digest({"b": [2], "a": 1})
    assert json.digest([1]) != json.digest(["1"])
    assert planning.iso(1795238160.9) == "2026-11-21T05:16:00Z"
    assert make("steps: {a: {local: {value: 1}}}").scope()["run"] == {
        "id": "w-1",
        "name": "w",
        "started": "1970-01-01T00:00:00Z",
    }


def test_what_a_plan_needs_of_a_federation_is_known_of_the_files_it_names_too() -> None:
    inner = "steps:\n  a: {task: {method: m, image: i, study: s, store: here}}\n"
    found = workflow("steps:\n  w: {workflow: {file: other.yaml}}\n", {"other.yaml": inner})
    assert look_ups(found) == {"studies": True, "stores": True}
    assert look_ups(workflow("steps:\n  a: {task: {method: m}}\n")) == {"studies": False, "stores": False}
