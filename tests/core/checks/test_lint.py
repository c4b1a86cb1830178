"""Lint: each rule finds its bad example and nothing in its good one, where it should, and not where it is silenced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from v6flow.core.checks import lint
from v6flow.core.checks.lint import RULES
from v6flow.loading import parse_workflow, read_workflow

if TYPE_CHECKING:
    from v6flow.core.language.problem import Problem

PROJECT = Path(__file__).parents[3]
FILES = [
    *(file for file in (PROJECT / "workflows").glob("*.yaml") if "v6flow: 1" in file.read_text("utf-8").splitlines()),
    *(PROJECT / "runner" / "v6flow" / "templates").glob("*/workflow.yaml"),
]
HEAD = "v6flow: 1\ndefaults: {image: stats:1.0, timeout: 2h}\n"


def found(text: str) -> list[Problem]:
    return lint.lint(parse_workflow(text, "x.yaml"))


def rules(text: str) -> list[str]:
    return [problem.rule for problem in found(text)]


def places(text: str, rule: str) -> list[tuple[int, int]]:
    return [(each.position.line, each.position.column) for each in found(text) if each.rule == rule]


@pytest.mark.parametrize("name", RULES)
def test_each_rule_finds_its_bad_example_and_nothing_in_the_good_one(name: str) -> None:
    problems = found(RULES[name].bad)
    assert {problem.rule for problem in problems} == {name}
    assert all(problem.severity == "warning" and problem.hint for problem in problems)
    assert found(RULES[name].good) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_examples_and_templates_are_clean(file: Path) -> None:
    assert [str(problem) for problem in lint.lint(read_workflow(file))] == []


@pytest.mark.parametrize("name", RULES)
def test_a_comment_silences_a_rule_on_its_line_only(name: str) -> None:
    if name == "unknown-rule":
        pytest.skip("its bad example is such a comment")
    text = RULES[name].bad
    lines = text.splitlines()
    for problem in found(text):
        lines[problem.position.line - 1] += f" # lint: ignore unused-step, {name} since it is meant"
    assert found("\n".join(lines)) == []
    assert rules(f"# lint: ignore {name}\n{text}") == rules(text)


# ------------------------------------------------------------------------------------------------- the finer points


def test_params_that_are_used_in_any_way() -> None:
    params = "params: {a: {default: 1, description: d}, b: {default: 2, description: d}}\n"
    step = "steps: {s: {local: {value: %s}}}\noutputs: {o: '{{ steps.s.result }}'}\n"
    assert rules(HEAD + params + step % "'{{ params.a }}'") == ["unused-param"]
    assert rules(HEAD + params + step % "'{{ params }}'") == []
    assert rules(HEAD + params + step % "'{{ params[run.name] }}'") == []
    by_default = "defaults: {image: '{{ params.a }}', timeout: '{{ params.b }}'}\n"
    task = "steps: {s: {task: {method: m}}}\noutputs: {o: '{{ steps.s.responded }}'}\n"
    assert rules("v6flow: 1\n" + by_default + params + task) == []


@pytest.mark.parametrize(
    ("step", "unused"),
    [
        ("{local: {value: 1}}", True),
        ("{task: {method: m}}", True),
        ("{local: {command: [sh, x]}}", False),
        ("{local: {command: [sh, x]}, on_failure: continue}", True),
        ("{local: {value: '{{ 1 }}'}, needs: [used]}", True),
    ],
)
def test_steps_that_nothing_uses(step: str, unused: bool) -> None:
    text = (
        f"{HEAD}steps:\n  used: {{local: {{value: 1}}}}\n  s: {step}\noutputs: {{o: '{{{{ steps.used.result }}}}'}}\n"
    )
    assert places(text, "unused-step") == ([(5, 3)] if unused else [])
    needed = text.replace("{local: {value: 1}}}", "{local: {value: 1}, needs: [s]}}").replace(", needs: [used]", "")
    assert (
        places(needed.replace("used: {local: {value: 1}}", "used: {local: {value: 1}, needs: [s]}"), "unused-step")
        == []
    )


def test_a_timeout_may_stand_in_the_step_or_in_defaults() -> None:
    text = "v6flow: 1\nsteps:\n  s: {task: {method: m, image: i:1}%s}\noutputs: {o: '{{ steps.s.responded }}'}\n"
    assert rules(text % "") == ["builtin-timeout"]
    assert rules(text % ", timeout: none") == []
    assert rules("v6flow: 1\ndefaults: {timeout: 1h}\n" + (text % "").removeprefix("v6flow: 1\n")) == []


PASSES = """\
v6flow: 1
defaults: {image: stats:1.0, timeout: 2h}
steps:
  first:
    task: {method: m}
    quorum: QUORUM
  mean: {local: {value: "{{ steps.first.results | length }}"}}
  half: {local: {value: "{{ steps.mean.result / 2 }}"}}
  second:
    task:
      method: m
      kwargs: {mean: "{{ steps.half.VALUE }}"}
      organizations: [alpha, beta]
outputs: {o: "{{ steps.second.results | length }}"}
"""


@pytest.mark.parametrize(
    ("quorum", "value", "more", "told"),
    [
        ("2", "result", "", True),
        ("80%", "result", "", True),
        ("{min: 2}", "result", "", True),
        ("{min: '{{ 1 + 1 }}'}", "result", "", True),
        ("all", "result", "", False),
        ("100%", "result", "", False),
        ("{required: [alpha]}", "result", "", False),
        ("2", "status", "", False),
        ("2", "result", "    mixed_cohorts: it is meant\n", False),
    ],
)
def test_a_second_pass_that_asks_others(quorum: str, value: str, more: str, told: bool) -> None:
    text = PASSES.replace("QUORUM", quorum).replace("VALUE", value).replace("outputs:", f"{more}outputs:")
    assert places(text, "mixed-passes") == ([(13, 7)] if told else [])
    to_all = text.replace("      organizations: [alpha, beta]\n", "")
    assert places(to_all, "mixed-passes") == ([(9, 3)] if told else [])
    to_those = text.replace("[alpha, beta]", '"{{ steps.first.responded }}"')
    assert places(to_those, "mixed-passes") == []
    to_one = text.replace("organizations: [alpha, beta]", "organization: alpha").replace(
        "second.results", "second.result"
    )
    assert places(to_one, "mixed-passes") == []


@pytest.mark.parametrize(
    ("image", "moves"),
    [
        ("harbor.example:5000/demo/stats", True),
        ("stats:latest", True),
        ("harbor.example:5000/demo/stats:2", False),
        ("stats@sha256:0123", False),
        ("stats:{{ params.tag }}", False),
    ],
)
def test_images_that_move(image: str, moves: bool) -> None:
    text = f"""\
v6flow: 1
params: {{tag: {{default: "1", description: Tag}}}}
steps:
  s:
    task: {{image: "{image}", method: m}}
    timeout: 1h
outputs: {{o: "{{{{ steps.s.responded }}}}", t: "{{{{ params.tag }}}}"}}
"""
    assert places(text, "moving-image") == ([(5, 19)] if moves else [])


def test_a_default_is_told_once() -> None:
    text = "v6flow: 1\ndefaults:\n  image: i\n  timeout: 1h\n  retry: {attempts: 2, on: [unknown, crashed]}\n"
    text += "steps: {a: {task: {method: m}}, b: {task: {method: m}}}\n"
    text += "outputs: {o: '{{ steps.a.responded }}', p: '{{ steps.b.responded }}'}\n"
    assert [(each.rule, each.position.line) for each in found(text)] == [("moving-image", 3), ("retry-crashed", 5)]


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ("{api_key: abc}", True),
        ("{db: {PASSWORD: abc}}", True),
        ("{tokens: [abc], token: [abc]}", True),
        ("{url: 'postgres://me:secret@host/db'}", True),
        ("{x: AKIAABCDEFGHIJKLMNOP}", True),
        ('{password: "{{ params.p }}"}', False),
        ("{tokens: 5, token: 5, password_column: pw, key: abc, monkey: abc}", False),
        ("{url: 'https://host/path', password: ''}", False),
    ],
)
@pytest.mark.parametrize(
    "kind", ["task: {method: m, kwargs: %s}", "local: {function: 'v6flow.aggregation:x', kwargs: %s}"]
)
def test_secrets_in_kwargs(kind: str, kwargs: str, told: bool) -> None:
    from v6flow.core import reading
    from v6flow.core.language import document

    text = f"{HEAD}params: {{p: {{}}}}\nsteps:\n  s: {{{kind % kwargs}}}\n"
    problems = lint.lint(reading.parse(document.parse(text, "x.yaml")))
    assert ("secret-literal" in [each.rule for each in problems]) is told
    assert not any("abc" in each.message or "abc" in (each.hint or "") for each in problems)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("'{{ steps.s.results }}'", True),
        ("{all: ['{{steps.s.by_organization}}']}", True),
        ("'{{ steps.s.results | length }}'", False),
        ("'{{ steps.s.responded }}'", False),
    ],
)
def test_outputs_of_single_organizations(output: str, told: bool) -> None:
    text = f"{HEAD}steps: {{s: {{task: {{method: m}}}}}}\noutputs: {{o: {output}}}\n"
    assert ("per-organization-output" in rules(text)) is told


def test_names_with_capital_letters() -> None:
    text = "v6flow: 1\nparams: {myParam: {default: 1, description: d}}\n"
    text += "steps: {aB: {local: {value: '{{ params.myParam }}'}}}\n"
    text += "outputs: {HTTPStatus: '{{ steps.aB.result }}'}\n"
    hints = [each.hint for each in found(text)]
    assert hints == ["write my_param", "write a_b", "write httpstatus"]


def test_a_comment_may_name_several_rules() -> None:
    text = "v6flow: 1\nsteps: {S: {task: {method: m, image: i}}}"
    text += " # lint: ignore moving-image, unused-step,mixed-case-name, nothing\n"
    problems = found(text)
    assert [each.rule for each in problems] == ["builtin-timeout", "unknown-rule"]
    assert problems[1].position.column == text.splitlines()[1].index("nothing") + 1


@pytest.mark.parametrize(
    "use",
    [
        'when: "{{ USED }}"',
        'checks: [{that: "{{ USED }}", message: no}]',
        'checks: [{that: "{{ 1 > 0 }}", message: "{{ USED }}"}]',
        'properties: {fact: "{{ USED }}"}',
    ],
)
def test_what_stands_beside_a_step_uses_params_and_steps(use: str) -> None:
    text = """v6flow: 1
params: {full: {type: boolean, default: true, description: All of it}}
steps:
  first: {local: {value: true}}
  last: {local: {value: 1}, BESIDE}
outputs: {last: "{{ steps.last.result }}"}
"""
    for used, other in (("params.full", "unused-step"), ("steps.first.result", "unused-param")):
        assert rules(text.replace("BESIDE", use.replace("USED", used))) == [other]


def test_a_precondition_uses_params() -> None:
    text = """v6flow: 1
params: {n: {type: integer, default: 1, description: How many}, most: {type: integer, default: 2, description: Most}}
preconditions: [{that: "{{ params.n > 0 }}", message: "it is above {{ params.most }}"}]
steps: {a: {local: {value: 1}}}
outputs: {a: "{{ steps.a.result }}"}
"""
    assert rules(text) == []


def test_a_task_at_the_end_and_what_comes_of_items_are_no_findings() -> None:
    text = f"""{HEAD}steps:
  parts: {{task: {{method: m}}}}
  many: {{foreach: {{over: [1], steps: {{a: {{local: {{value: 1}}}}}}, result: "{{{{ steps.a.result }}}}"}}}}
finally: {{tell: {{task: {{method: m, kwargs: {{how: "{{{{ run.status }}}}"}}}}}}}}
outputs: {{many: "{{{{ steps.many.results }}}}", n: "{{{{ sum(steps.parts.results) }}}}"}}
"""
    assert rules(text) == []


LOOP = """\
v6flow: 1
steps:
  fit:
    repeat:
      state: 0
      max: 3
      on_max: continue
      steps: {v: {local: {value: "{{ loop.state }}"}}}
      update: "{{ steps.v.result + 1 }}"
      until: "{{ loop.next > 9 }}"
%s
outputs: {o: "{{ steps.fit.result }}"%s}
"""


@pytest.mark.parametrize(
    ("step", "output", "wanted"),
    [
        ("", "", ["unread-convergence"]),
        ("", ', i: "{{ steps.fit.iterations }}"', ["unread-convergence"]),
        ("", ', c: "{{ steps.fit.converged }}"', []),
        ("", ", c: \"{{ 'yes' if steps.fit.converged else 'no' }}\"", []),
        ('    checks: [{that: "{{ this.converged or this.result > 2 }}", message: m}]', "", []),
        ('    properties: {converged: "{{ this.converged }}"}', "", []),
        ('  look: {local: {value: 1}, when: "{{ steps.fit.converged }}"}', ', l: "{{ steps.look.result }}"', []),
    ],
)
def test_whether_anything_reads_that_a_loop_has_converged(step: str, output: str, wanted: list[str]) -> None:
    text = LOOP % (step, output)
    assert rules(text) == wanted
    if wanted:
        assert places(text, "unread-convergence") == [(7, 15)]
    for other in (text.replace("continue", "fail"), text.replace('      until: "{{ loop.next > 9 }}"\n', "")):
        assert "unread-convergence" not in rules(other)


def test_that_a_nested_loop_has_converged_is_read_inside() -> None:
    text = """\
v6flow: 1
steps:
  table:
    foreach:
      over: [1, 2]
      steps:
        fit:
          repeat:
            state: 0
            max: 3
            on_max: continue
            steps: {v: {local: {value: "{{ loop.state }}"}}}
            update: "{{ steps.v.result + 1 }}"
            until: "{{ loop.next > 9 }}"
      result: {state: "{{ steps.fit.result }}"%s}
outputs: {o: "{{ steps.table.results }}"}
"""
    (problem,) = found(text % "")
    assert problem.rule == "unread-convergence"
    assert problem.hint == "use steps.fit.converged in what the step around it returns"
    assert found(text % ', converged: "{{ steps.fit.converged }}"') == []
