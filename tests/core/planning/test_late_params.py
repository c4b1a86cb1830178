"""Params of another file that are known only while the run goes on: whom its steps ask may depend on them."""

from __future__ import annotations

import pytest
from driver import drive, make

from v6flow.core.language.problem import InvalidError
from v6flow.core.views.preview import preview

WHO = """
params:
  who: {type: array}
  least: {default: all}
steps:
  ask: {task: {method: m, organizations: "{{ params.who }}"}, quorum: {min: "{{ params.least }}"}}
outputs: {n: "{{ steps.ask.results | length }}"}
"""
LATER = """
steps:
  first: {task: {method: m, kwargs: {x: 1}}, quorum: 1, timeout: 1h}
  again: {workflow: {file: who.yaml, params: {who: "{{ steps.first.responded }}", least: LEAST}}}
outputs: {n: "{{ steps.again.result.n }}"}
"""


def test_who_is_asked_may_come_from_a_step_of_the_file_outside() -> None:
    run = drive(LATER.replace("LEAST", '"{{ (steps.first.responded | length) - 1 }}"'), files={"who.yaml": WHO})
    run.answer("first", "alpha", "gamma")
    run.fail("first", "beta")
    assert run.asked("again.ask") == ["alpha", "gamma"]
    run.fail("again.ask", "alpha")
    run = run.resume()
    run.answer("again.ask", "gamma")
    assert (run.state.status, run.state.outputs) == ("completed", {"n": 1})


def test_or_from_a_round_or_an_item() -> None:
    nested = """
steps:
  tab:
    foreach:
      over: [[alpha], [beta, gamma]]
      as: some
      steps:
        fit:
          repeat:
            state: 0
            max: 2
            on_max: continue
            steps:
              sub: {workflow: {file: who.yaml, params: {who: "{{ each.some }}", least: "{{ loop.index }}"}}}
            update: "{{ loop.state + steps.sub.result.n }}"
      result: "{{ steps.fit.result }}"
    mixed_cohorts: each item is of its own
outputs: {n: "{{ steps.tab.results | length }}"}
"""
    run = drive(nested, files={"who.yaml": WHO})
    assert run.asked("tab[1].fit[1].sub.ask") == ["alpha"]
    assert run.asked("tab[2].fit[1].sub.ask") == ["beta", "gamma"]
    run.answer("tab[2].fit[1].sub.ask", "beta")
    run.fail("tab[2].fit[1].sub.ask", "gamma")
    assert run.asked("tab[2].fit[2].sub.ask") == []
    assert run.failure("tab[2].fit[2].sub.ask").message == "the quorum is 2, but only 1 is asked"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[alpha, delta]", "no organization 'delta' in the federation, which has alpha, beta, gamma"),
        ("[]", "an empty list of organizations asks nobody"),
        ("[alpha, alpha]", "the organization alpha stands twice"),
    ],
)
def test_a_list_that_cannot_be_asked_fails_the_step(given: str, told: str) -> None:
    text = f"""
steps:
  names: {{local: {{value: {given}}}}}
  again: {{workflow: {{file: who.yaml, params: {{who: "{{{{ steps.names.result }}}}"}}}}}}
"""
    run = drive(text, files={"who.yaml": WHO})
    assert run.asked("again.ask") == []
    assert (run.failure("again.ask").kind, run.failure("again.ask").message) == ("organizations", told)
    assert run.state.status == "failed"


def test_through_two_files_and_to_one_organization() -> None:
    one = """
params: {name: {type: string}}
steps: {ask: {task: {method: m, organization: "{{ params.name }}"}}}
outputs: {r: "{{ steps.ask.result }}"}
"""
    between = """
params: {names: {type: array}}
steps: {inside: {workflow: {file: one.yaml, params: {name: "{{ params.names | first }}"}}}}
"""
    outer = """
steps:
  first: {task: {method: m}}
  b: {workflow: {file: between.yaml, params: {names: "{{ steps.first.responded }}"}}}
"""
    run = drive(outer, files={"one.yaml": one, "between.yaml": between})
    run.answer("first", "alpha", "beta", "gamma")
    assert run.asked("b.inside.ask") == ["alpha"]


def test_a_param_that_is_known_is_judged_at_once_as_before() -> None:
    text = "steps: {again: {workflow: {file: who.yaml, params: {who: [alpha, delta]}}}}"
    with pytest.raises(InvalidError) as caught:
        make(text, files={"who.yaml": WHO})
    (problem,) = caught.value.problems
    assert (problem.file, problem.message) == (
        "who.yaml",
        "step ask: no organization 'delta' in the federation, which has alpha, beta, gamma",
    )


@pytest.mark.parametrize(
    "inside",
    [
        "{task: {method: '{{ params.x }}'}}",
        "{task: {method: m, image: '{{ params.x }}'}}",
        "{task: {method: m, databases: ['{{ params.x }}']}}",
        "{task: {method: m, study: '{{ params.x }}'}}",
        "{task: {method: m, isolation: '{{ params.x }}'}}",
        "{task: {method: m, name: '{{ params.x }}'}}",
        "{task: {method: m}, timeout: '{{ params.x }}'}",
        "{task: {method: m}, retry: '{{ params.x }}'}",
        "{task: {method: m}, quorum: {min: 1, required: ['{{ params.x }}']}}",
        "{task: {method: m}, disclosure: {min_count: '{{ params.x }}'}}",
        "{foreach: {over: [1], max_parallel: '{{ params.x }}', steps: {l: {local: {value: 1}}}}}",
        "{local: {function: 'json:loads'}, timeout: '{{ params.x }}'}",
    ],
)
def test_what_must_be_known_beforehand_is_refused_in_its_place(inside: str) -> None:
    inner = f"params:\n  x: {{}}\n\nsteps:\n  a: {inside}\n"
    outer = """
steps:
  first: {local: {value: 3}}
  sub:
    workflow:
      file: inner.yaml
      params:
        x: "{{ steps.first.result }}"
"""
    with pytest.raises(InvalidError) as caught:
        make(outer, files={"inner.yaml": inner})
    (problem,) = caught.value.problems
    assert (problem.file, problem.position.line) == ("inner.yaml", 6)
    assert problem.message == (
        "step a: this must be known before anything runs, and params.x is known only when its step begins: "
        "it is {{ steps.first.result }} (w.yaml, line 10)"
    )


def test_a_param_that_comes_by_way_of_another_one() -> None:
    inner = "params: {x: {}}\nsteps: {a: {task: {method: '{{ params.x }}'}}}\n"
    between = "params: {y: {}}\nsteps: {b: {workflow: {file: inner.yaml, params: {x: '{{ params.y }}'}}}}\n"
    outer = """
steps:
  first: {local: {value: 3}}
  sub: {workflow: {file: between.yaml, params: {y: "{{ steps.first.result }}"}}}
"""
    with pytest.raises(InvalidError) as caught:
        make(outer, files={"inner.yaml": inner, "between.yaml": between})
    (problem,) = caught.value.problems
    assert "it is {{ params.y }} (between.yaml, line 3)" in problem.message


def test_the_plan_shows_whom_a_step_of_another_file_will_ask() -> None:
    plan = make(LATER.replace("LEAST", "1"), files={"who.yaml": WHO})
    told = {step.step: step.as_json() for step in preview(plan)}["again.ask"]
    assert told["organizations"] == {"$later": "{{ params.who }}"}
    assert told["quorum"]["min"] == 1


def test_the_plan_shows_what_is_known_of_what_a_file_is_given() -> None:
    inner = """
params: {x: {}, y: {}, z: {default: 3}}
steps:
  a:
    foreach:
      over: [1]
      steps: {b: {task: {method: m, kwargs: {x: "{{ params.x }}", yz: "{{ [params.y, params.z] }}"}}}}
  c: {workflow: {file: deeper.yaml, params: {q: "{{ params.x + 1 }}"}}}
"""
    deeper = "params: {q: {}}\nsteps: {d: {local: {value: '{{ params.q }}'}}}\n"
    outer = """
params: {n: {default: 7}}
steps:
  first: {local: {value: 3}}
  sub: {workflow: {file: inner.yaml, params: {x: "{{ params.n }}", y: "{{ steps.first.result }}"}}}
  last: {local: {value: "{{ params.n }}"}}
"""
    plan = make(outer, files={"deeper.yaml": deeper, "inner.yaml": inner})
    told = {step.step: step.as_json() for step in preview(plan)}
    assert told["sub.a.b"]["kwargs"] == {"x": 7, "yz": {"$later": "{{ [params.y, params.z] }}"}}
    assert told["sub.c"]["params"] == {"q": 8}
    assert (told["sub.c.d"]["value"], told["last"]["value"]) == (8, 7)
