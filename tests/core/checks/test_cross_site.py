"""What one organization answered does not reach another one, unless it was aggregated or the file says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.language import document

if TYPE_CHECKING:
    from v6flow.core.language.problem import Problem

STEPS = """
params: {site: {default: alpha}, other: {default: beta}}
steps:
  all: {task: {method: m}}
  some: {task: {method: m, organizations: [alpha, beta]}}
  alpha: {task: {method: m, organization: alpha}}
  beta: {task: {method: m, organizations: [beta]}}
  site: {task: {method: m, organization: "{{ params.site }}"}}
  again: {task: {method: m, organizations: "{{ steps.alpha.responded }}"}}
  central: {task: {method: m, organization: alpha, central: true}}
  perhaps: {task: {method: m, organization: alpha, central: "{{ params.site == 'x' }}"}}
  pooled: {local: {function: "f.py:f", kwargs: {parts: "{{ steps.all.results }}"}}}
  program: {local: {command: [p, "{{ steps.alpha.result }}"]}}
  value: {local: {value: {n: "{{ steps.all.results | sum(attribute='n') }}", raw: ["{{ steps.all.results }}", 1],
                          by: "{{ steps.all.by_organization }}"}}}
  excused: {local: {value: "{{ steps.all.results | max }}"}, allow_cross_site: it is a maximum of many}
"""


def problems(expression: str, task: str = "") -> list[Problem]:
    """What is wrong with a step that sends the value of an expression."""
    text = f"v6flow: 1{STEPS}  sent:\n    task: {{method: m, kwargs: {{x: '{{{{ {expression} }}}}'}}{task}}}\n"
    return [each for each in soundness.check(reading.parse(document.parse(text, "w.yaml"))) if each.severity == "error"]


@pytest.mark.parametrize(
    "expression",
    [
        "steps.all.results",
        "steps.all.results[0]",
        "steps.all.results[-1].n",
        "steps.all.results[0:1] | sum",
        "steps.all.results | map(attribute=\"n\")",
        "steps.all.results | sort",
        "steps.all.results | map(attribute=\"n\") | sort | first",
        "steps.all.results | map(attribute=\"n\") | max",
        "min(steps.all.results)",
        "steps.all.results | selectattr(\"n\", \">\", 9) | sum(attribute=\"n\")",
        "steps.all.results | unique",
        "[{\"n\": 1}, {\"n\": 2}] | selectattr(\"n\", \">\", steps.alpha.result)",
        "(steps.all.results | groupby(\"n\"))[0][\"items\"] | sum(attribute=\"n\")",
        "steps.all.by_organization",
        "steps.all.by_organization.alpha",
        "steps.all.by_organization[params.site]",
        "steps.all.by_organization | values",
        "steps.all.failures",
        "steps.all.failures[\"alpha\"].log_tail",
        "steps.all.error",
        "steps.alpha.error.message",
        "steps.alpha.result",
        "steps.alpha.result.n + 1",
        "sum(steps.alpha.result.counts)",
        "steps.alpha.result.rows | length",
        "keys(steps.alpha.result)",
        "steps.alpha.result > 3",
        "1 if steps.alpha.result > 3 else 2",
        "steps.alpha.result if params.site == \"x\" else 2",
        "steps.alpha.result.n | default(0)",
        "params.nothing | default(steps.alpha.result)",
        "-steps.alpha.result",
        "not steps.alpha.result",
        "steps.alpha.result or 1",
        "\"n = \" ~ steps.alpha.result.n",
        "[steps.alpha.result, 5] | sum",
        "[steps.alpha.result.n, steps.alpha.result.n] | sum",
        "[steps.site.result, steps.alpha.result] | sum",
        "steps.alpha.result + steps.beta.result",
        "[steps.alpha.result, steps.beta.result] | first",
        "{\"n\": steps.alpha.result}.n",
        "{params.site: steps.alpha.result}",
        "sum(steps.all.results) - steps.all.results[0]",
        "steps.again.results | sum",
        "dot(steps.all.results, steps.alpha.result)",
        "round(steps.alpha.result)",
        "range(steps.alpha.result)",
        "json(steps.all.results)",
        "join(steps.all.results, \",\")",
        "(steps.all.results if params.site == \"x\" else steps.all.results[1:]) | sum",
        "steps.perhaps.result",
        "steps.value.result",
        "steps.value.result.raw",
        "steps.value.result.raw[0][0]",
        "steps.value.result.by.alpha",
        # places and weights that leave one of all
        "steps.all.results[::2] | sum",
        "steps.all.results[::params.site] | sum",
        "[steps.alpha.result, 5][::-1][1]",
        "dot(steps.all.results, [1, 0, 0])",
        # how many there are, where an answer says it, or it is of one only
        "range(9)[0:steps.alpha.result] | length",
        "range(9)[::steps.alpha.result] | length",
        "steps.all.results[0:1] | selectattr(\"n\", \">\", 5) | length",
        "[steps.alpha.result] | selectattr(\"n\", \">\", 5) | length",
        "[steps.alpha.result] | sort | selectattr(\"n\", \">\", 5) | length",
        "[1, steps.alpha.result] | unique | length",
        "[1, steps.alpha.result] | groupby(\"n\") | length",
        "steps.all.results | selectattr(\"n\", \"<\", steps.alpha.result) | length",
        "zip(steps.alpha.result.rows, steps.alpha.result.rows) | length",
        # whether something is there, where an answer says what
        "range(9)[steps.alpha.result] is defined",
        "range(9)[1:2][steps.alpha.result] is defined",
        "first([steps.alpha.result] | selectattr(\"n\", \">\", 5)) is defined",
        "(1 if steps.alpha.result > 3 else params.site.x) is undefined",
        # attributes that are computed, and errors that quote
        "steps.alpha[params.site]",
        "steps.value[params.site]",
        "steps.value.error",
        "steps.value.error.message",
        "steps.pooled.error.message",
    ],
)  # fmt: skip
def test_what_is_one_organizations_own_is_not_sent_on(expression: str) -> None:
    found = [each for each in problems(expression) if each.rule != "unknown-param"]
    assert [each.rule for each in found] == ["cross-site"] * len(found)
    assert found, f"{expression} is not told"


@pytest.mark.parametrize(
    "expression",
    [
        "steps.all.results | sum",
        "steps.all.results | sum(attribute=\"n\")",
        "steps.all.results | map(attribute=\"n\") | sum",
        "steps.all.results | map(attribute=\"n\") | sort | mean",
        "steps.all.results[::-1] | sum",
        "sum(steps.all.by_organization | values | map(attribute=\"n\"))",
        "mean(steps.all.results, attribute=\"a.b\")",
        "dot(steps.all.results | map(attribute=\"n\"), steps.all.results | map(attribute=\"m\"))",
        "dot(steps.some.results, [0.5, 0.5])",
        "(steps.all.results | sum) / (steps.all.results | length) ** 2",
        "sqrt(steps.all.results | sum)",
        "steps.all.results | selectattr(\"n\", \">\", 9) | length",
        "zip(steps.all.results, steps.all.results) | map(attribute=0) | sum",
        "(steps.all.results + steps.some.results) | sum",
        "(steps.all.results + [1]) | sum",
        "steps.all.results | default([]) | sum",
        "(steps.all.results if params.site == \"x\" else steps.some.results) | sum",
        "steps.all.responded",
        "steps.all.failed | length",
        "steps.all.failures | keys",
        "steps.all.by_organization | keys | sort",
        "steps.all.error.kind | default(\"none\")",
        "steps.all.status",
        "steps.alpha.result is defined",
        "steps.all.results[0].n is defined",
        "(steps.all.results | sum) is defined",
        "steps.all.results | selectattr(\"n\", \">\", 1) | unique | length",
        "zip(steps.all.results, steps.all.results) | selectattr(0, \">\", 1) | length",
        "steps.all.results[:] | sum",
        "steps.pooled.error.kind",
        "steps.value.status",
        "steps.central.result",
        "steps.central.result.n",
        "steps.central.subtasks",
        "steps.pooled.result.mean",
        "steps.program.result",
        "steps.value.result.n",
        "steps.value.result.raw[1]",
        "steps.value.result.raw[-1]",
        "steps.excused.result",
        "[steps.alpha.result.n, steps.beta.result.n] | sum",
        "[steps.alpha.result, steps.beta.result] | sum(attribute=\"n\")",
        "[steps.alpha.result, steps.beta.result] | map(attribute=\"n\") | sort | sum",
        "zip([steps.alpha.result, steps.beta.result], [1, 2]) | map(attribute=0) | sum",
        "values({\"a\": steps.alpha.result, \"b\": steps.beta.result}) | sum",
        "keys({\"a\": steps.alpha.result})",
        "{\"a\": steps.alpha.result, \"b\": 1}.b",
        "steps.all.by_organization[organization]",
        "steps.all.by_organization[organization].n + 1",
        "steps.value.result.by[organization]",
        "steps.all.failures[organization]",
        "organization_ids(steps.all.responded)",
        "params.site",
    ],
)  # fmt: skip
def test_aggregates_and_what_tells_nothing_of_one_are_sent(expression: str) -> None:
    assert problems(expression) == []


@pytest.mark.parametrize(
    ("expression", "task", "fine"),
    [
        ("steps.alpha.result", ", organization: alpha", True),
        ("steps.alpha.result", ", organizations: [alpha]", True),
        ("steps.alpha.result", ', organizations: "{{ steps.alpha.responded }}"', True),
        ("steps.alpha.result", ', organizations: "{{ steps.again.asked }}"', True),
        ("steps.again.results[0]", ", organization: alpha", True),
        ("steps.all.by_organization.alpha", ", organization: alpha", True),
        ("steps.all.by_organization.alpha.n + steps.alpha.result", ", organization: alpha", True),
        ("steps.site.result", ', organization: "{{ params.site }}"', True),
        ("steps.alpha.error", ", organization: alpha", True),
        ("steps.alpha.result", ", organization: beta", False),
        ("steps.alpha.result", ", organizations: [alpha, beta]", False),
        ("steps.alpha.result + steps.beta.result", ", organization: alpha", False),
        ("steps.site.result", ', organization: "{{ params.other }}"', False),
        ("steps.site.result", ", organization: alpha", False),
        ("steps.all.results[0]", ", organization: alpha", False),
        ("steps.alpha.result", ', organizations: "{{ steps.all.responded }}"', False),
        ("steps.alpha.result", ', organization: "{{ steps.value.result.who }}"', False),
        ("steps.alpha.result", ", organization: beta, central: true", False),
    ],
)
def test_who_said_it_may_be_sent_it(expression: str, task: str, fine: bool) -> None:
    found = problems(expression, task)
    assert (found == []) is fine
    assert {each.rule for each in found} <= {"cross-site"} | ({"wrong-scope"} if "value.result" in task else set())


def test_a_reason_allows_it() -> None:
    text = f"""v6flow: 1{STEPS}
  sent: {{task: {{method: m, kwargs: {{x: "{{{{ steps.all.results }}}}"}}}}, allow_cross_site: they agreed}}
  on: {{task: {{method: m, kwargs: {{x: "{{{{ steps.sent.results }}}}"}}}}}}
"""
    found = soundness.check(reading.parse(document.parse(text, "w.yaml")))
    assert [(each.rule, each.position.line) for each in found] == [("cross-site", 19)]


def test_each_reference_is_told_where_it_stands() -> None:
    text = """v6flow: 1
steps:
  a: {task: {method: m, organizations: [alpha, beta]}}
  b: {task: {method: m, organization: gamma}}
  picked:
    local: {value: "{{ steps.a.results | first }}"}
  c:
    task:
      method: m
      kwargs:
        list: [1, "from {{ steps.a.responded }} {{ steps.a.results }}"]
        one: "{{ steps.b.result.n }}"
        fine: "{{ sum(steps.a.results) + 1 }}"
        picked: "{{ steps.picked.result }}"
"""
    every = soundness.check(reading.parse(document.parse(text, "w.yaml")))
    found = [each for each in every if each.rule == "cross-site"]
    assert [(each.position.line, each.position.column, each.message) for each in found] == [
        (11, 60, "what single organizations answered to a would reach others, not aggregated"),
        (12, 26, "what gamma answered to b would reach others, not aggregated"),
        (14, 34, "what single organizations answered to a (by way of picked) would reach others, not aggregated"),
    ]
    assert all("allow_cross_site: <reason>" in (each.hint or "") for each in found)


def test_nothing_is_said_of_a_circle() -> None:
    text = """v6flow: 1
steps:
  a: {task: {method: m, kwargs: {x: "{{ steps.b.results }}"}}}
  b: {task: {method: m, kwargs: {x: "{{ steps.a.results }}"}}}
"""
    assert [each.rule for each in soundness.check(reading.parse(document.parse(text, "w.yaml")))] == ["cycle"]


def test_an_expression_with_a_fault_beside_a_sound_one_is_told_and_nothing_more() -> None:
    text = """v6flow: 1
steps:
  a: {task: {method: m}}
  b: {task: {method: m, kwargs: {x: "{{ steps.a.results | length - 1 }}", y: "{{ steps.a.results | sum }}"}}}
"""
    found = soundness.check(reading.parse(document.parse(text, "w.yaml")))
    assert [each.rule for each in found] == ["expression-refused"]


NESTED = """v6flow: 1
steps:
  all: {task: {method: m}}
  alpha: {task: {method: m, organization: alpha}}
"""


def nested(text: str) -> list[str]:
    """Where what is sent by nested steps: `line word`, in the order of the file."""
    whole = NESTED + text
    found = soundness.check(reading.parse(document.parse(whole, "w.yaml")))
    assert {each.rule for each in found} <= {"cross-site"}, found
    lines = whole.splitlines()
    return [
        f"{each.position.line} {lines[each.position.line - 1][each.position.column - 1 :].partition(' ')[0]}"
        for each in found
    ]


REPEAT = """
  fit:
    repeat:
      state: STATE
      max: 3
      on_max: continue
      update: UPDATE
      steps:
        part: {task: {method: m, kwargs: {x: "{{ loop.state.x }}", n: "{{ loop.index }}"}}}
        pooled: {local: {function: "f.py:f", kwargs: {of: "{{ steps.part.results }}"}}}
  after: {task: {method: m, kwargs: {x: "{{ steps.fit.result.x }}", h: "{{ steps.fit.iterations }}"}}}
"""


@pytest.mark.parametrize(
    ("state", "update", "told"),
    [
        ("{x: 0}", '{x: "{{ steps.pooled.result }}"}', []),
        ("{x: 0}", '{x: "{{ sum(steps.part.results) }}", y: "{{ steps.part.results }}"}', []),
        ("{x: 0}", '{x: "{{ steps.part.results[0] }}"}', ["13 x", "15 result.x"]),
        ('{x: "{{ steps.alpha.result }}"}', '{x: "{{ steps.pooled.result }}"}', ["13 x", "15 result.x"]),
        ("{x: 0, y: 0}", '{x: "{{ loop.state.y }}", y: "{{ steps.part.results }}"}', ["13 x", "15 result.x"]),
    ],
)
def test_what_rounds_hand_on(state: str, update: str, told: list[str]) -> None:
    found = nested(REPEAT.replace("STATE", state).replace("UPDATE", update))
    assert [each.partition(" ")[0] for each in found] == [each.partition(" ")[0] for each in told]


@pytest.mark.parametrize(
    ("over", "sent", "lines"),
    [
        ("[1, 2]", "each.item", []),
        ('"{{ steps.all.responded }}"', "each.item", []),
        ('"{{ steps.all.results }}"', "each.item", ["10", "12"]),
        ('"{{ steps.all.results }}"', "each.index", ["12"]),
        ('"{{ steps.all.by_organization }}"', "each.key", ["12"]),
        ('"{{ steps.all.by_organization }}"', "each.item", ["10", "12"]),
        ('["{{ sum(steps.all.results) }}"]', "each.item", []),
    ],
)
def test_what_items_hand_on(over: str, sent: str, lines: list[str]) -> None:
    found = nested(f"""
  many:
    foreach:
      over: {over}
      steps:
        part: {{task: {{method: m, kwargs: {{x: "{{{{ {sent} }}}}"}}}}}}
      result: "{{{{ each.item }}}}"
  after: {{task: {{method: m, kwargs: {{x: "{{{{ steps.many.results }}}}"}}}}}}
""")
    assert [each.partition(" ")[0] for each in found] == lines


@pytest.mark.parametrize(
    ("result", "sent", "refused"),
    [
        # what comes of an item is an aggregate already
        ("{{ sum(steps.part.results) }}", "{{ steps.many.results }}", False),
        ("{{ sum(steps.part.results) }}", "{{ [steps.many.by_key, steps.many.results[0], steps.many.items] }}", False),
        ("{{ steps.pooled.result }}", "{{ steps.many.results | map(attribute='x') | max }}", False),
        # what comes of an item is a list of answers, and is put together over organizations, item by item
        ("{{ steps.part.results }}", "{{ sum(steps.many.results[0]) }}", False),
        ("{{ steps.part.results }}", "{{ steps.many.by_key['a'] | mean }}", False),
        ("{{ steps.part.results }}", "{{ sum(steps.many.by_key | values | first, attribute='n') }}", False),
        ("{{ steps.part.results }}", "{{ sum(sort(steps.many.results, attribute='n') | last) }}", False),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results[params.at]) }}", False),
        ("{n: 1, all: '{{ steps.part.results }}'}", "{{ sum(steps.many.results[0].all) }}", False),
        ("{n: 1, all: '{{ steps.part.results }}'}", "{{ steps.many.results | map(attribute='n') }}", False),
        ("{n: 1, all: '{{ steps.part.results }}'}", "{{ sum((steps.many.results | map(attribute='all'))[1]) }}", False),
        ("{{ steps.part.by_organization }}", "{{ steps.many.results[0][organization] }}", False),
        # and all of these have a single answer in them
        ("{{ steps.part.results }}", "{{ steps.many.results }}", True),
        ("{{ steps.part.results }}", "{{ steps.many.results[0] }}", True),
        ("{{ steps.part.results }}", "{{ steps.many.results[0][0] }}", True),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results) }}", True),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results, attribute='n') }}", True),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results[0][0]) }}", True),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results[0][1:]) }}", True),
        ("{{ steps.part.results }}", "{{ steps.many.results | first | max }}", True),
        ("{{ steps.part.results }}", "{{ sum((steps.many.results | map(attribute='n'))[0]) }}", True),
        ("{{ steps.part.results }}", "{{ sum(steps.many.results[steps.part.results[0]]) }}", True),
        ("{{ steps.part.results }}", "{{ sum((steps.many.results + steps.many.results)[0]) }}", True),
        ("{{ steps.part.results }}", "{{ sum(zip(steps.many.results[0], steps.many.results[1])[0]) }}", True),
        ("{{ steps.part.results }}", "{{ steps.many.items[0].result | sum }}", True),
        ("{{ steps.part.results[0] }}", "{{ sum(steps.many.results[0]) }}", True),
        ("{{ steps.part.results[:2] }}", "{{ sum(steps.many.results[0]) }}", True),
        ("{{ [steps.part.results[0], 1] }}", "{{ sum(steps.many.results[0]) }}", True),
        ("{n: '{{ steps.part.results[0] }}'}", "{{ steps.many.results | map(attribute='n') }}", True),
        ("{n: '{{ steps.part.results[0] }}'}", "{{ steps.many.results | groupby('n') }}", True),
        ("{{ steps.part.by_organization }}", "{{ steps.many.results[0].alpha }}", True),
    ],
)
def test_what_comes_of_each_item_is_followed_by_itself(result: str, sent: str, refused: bool) -> None:
    sent = sent.replace("steps.part.results[0]", "steps.all.results[0]")
    text = f"""
  many:
    foreach:
      over: {{a: 1, b: 2}}
      steps:
        part: {{task: {{method: m}}}}
        pooled: {{local: {{function: "f.py:f", kwargs: {{of: "{{{{ steps.part.results }}}}"}}}}}}
      result: RESULT
  after: {{task: {{method: m, kwargs: {{x: "{sent}"}}}}}}
params: {{at: {{default: 0}}}}
""".replace("RESULT", result if result.startswith("{n") else f'"{result}"')
    assert bool(nested(text)) is refused


def test_a_list_of_answers_for_each_item_may_be_put_together_in_another_step_for_each() -> None:
    text = """
  many:
    foreach:
      over: [1, 2]
      steps: {part: {task: {method: m}}}
      result: "{{ steps.part.results }}"
  again:
    foreach:
      over: "{{ steps.many.results }}"
      as: answers
      steps: {next: {task: {method: m, kwargs: {x: "{{ sum(each.answers, attribute='n') }}"}}}}
"""
    assert nested(text) == []
    assert len(nested(text.replace("sum(each.answers, attribute='n')", "each.answers[0]"))) == 1
    assert len(nested(text.replace("sum(each.answers, attribute='n')", "each.key"))) == 1


def test_the_states_of_a_loop_are_followed_one_by_one() -> None:
    text = """
  fit:
    repeat:
      state: {x: 0}
      max: 3
      on_max: continue
      steps: {part: {task: {method: m}}}
      update: {x: "{{ sum(steps.part.results) }}", raw: "{{ steps.part.results }}"}
  after: {task: {method: m, kwargs: {x: "{{ SENT }}"}}}
"""
    for sent, refused in (
        ("steps.fit.history | map(attribute='x')", False),
        ("sum(steps.fit.history[-1].raw)", False),
        ("steps.fit.history", True),
        ("steps.fit.history[1].raw", True),
        ("sum(steps.fit.history, attribute='raw')", True),
    ):
        assert bool(nested(text.replace("SENT", sent))) is refused, sent


@pytest.mark.parametrize(
    ("over", "key", "sent", "refused"),
    [
        ("{{ steps.all.results }}", "", "{{ steps.many.completed }}", True),
        ("{{ steps.all.results }}", "", "{{ steps.many.failed }}", True),
        ("{{ steps.all.results }}", "", "{{ steps.many.skipped | first }}", True),
        ("{{ steps.all.results }}", "", "{{ keys(steps.many.by_key) }}", True),
        ("{{ steps.all.results }}", "", "{{ steps.many.by_key }}", True),
        ("{{ steps.all.results }}", "key: '{{ each.item }}'", "{{ steps.many.completed }}", True),
        ("{{ steps.all.results }}", "key: '{{ each.index }}'", "{{ steps.many.completed }}", False),
        ("{{ steps.all.results }}", "", "{{ values(steps.many.by_key) }}", False),
        ("{{ steps.all.results }}", "", "{{ steps.many.summary }}", False),
        ("{{ steps.all.by_organization }}", "", "{{ [steps.many.completed, steps.many.by_key] }}", False),
        ("{{ steps.all.responded }}", "", "{{ [steps.many.completed, keys(steps.many.by_key)] }}", False),
    ],
)
def test_an_answer_that_is_the_key_of_an_item_is_not_sent_on(over: str, key: str, sent: str, refused: bool) -> None:
    text = f"""
  many:
    foreach:
      over: "{over}"
      steps: {{value: {{local: {{function: "f.py:f"}}}}}}
      result: "{{{{ steps.value.result }}}}"
      {key}
  after: {{task: {{method: m, kwargs: {{x: "{sent}"}}}}}}
"""
    assert bool(nested(text)) is refused


def test_a_reason_at_a_step_covers_those_inside() -> None:
    text = """
  many:
    foreach:
      over: "{{ steps.all.results }}"
      steps: {part: {task: {method: m, kwargs: {x: "{{ each.item }}"}}}}
    allow_cross_site: they agreed
"""
    assert nested(text) == []
    assert len(nested(text.replace("    allow_cross_site: they agreed\n", ""))) == 1


INNER = """v6flow: 1
params: {raw: {}, other: {default: 1}}
steps:
  first: {local: {value: "{{ params.raw | first }}"}}
  mean: {local: {function: "f.py:f", kwargs: {x: "{{ params.raw }}"}}}
ASKS
outputs: {first: "{{ steps.first.result }}", mean: "{{ steps.mean.result }}"}
"""


@pytest.mark.parametrize(
    ("asks", "raw", "used", "told"),
    [
        ("", "{{ steps.all.results }}", "mean", 0),
        ("", "{{ steps.all.results }}", "first", 1),
        ("", "{{ sum(steps.all.results) }}", "first", 0),
        ("  ask: {task: {method: m}}", "{{ steps.all.results }}", "mean", 1),
        ("  ask: {task: {method: m}}", "{{ sum(steps.all.results) }}", "mean", 0),
    ],
)
def test_what_goes_into_another_file_and_comes_out(asks: str, raw: str, used: str, told: int) -> None:
    inner = reading.parse(document.parse(INNER.replace("ASKS", asks), "inner.yaml"))
    text = (
        NESTED
        + f"""
  call: {{workflow: {{file: inner.yaml, params: {{raw: "{raw}"}}}}}}
  after: {{task: {{method: m, kwargs: {{x: "{{{{ steps.call.result.{used} }}}}"}}}}}}
"""
    )
    found = soundness.check(reading.parse(document.parse(text, "w.yaml"), files={"inner.yaml": inner}))
    assert [each.rule for each in found] == ["cross-site"] * told


ONE = """
  one: {task: {method: m, organization: alpha}}
"""


def fared(step: str, attribute: str) -> list[str]:
    """Where what a step offers is told not to be sent on; LOCAL and TASK are what stands inside."""
    step = step.replace("LOCAL", "{a: {local: {value: 1}}}").replace("TASK", "{a: {task: {method: m}}}")
    return nested(
        f'{ONE}  s: {step}\n  after: {{task: {{method: m, kwargs: {{x: "{{{{ steps.s.{attribute} }}}}"}}}}}}\n'
    )


@pytest.mark.parametrize(
    ("step", "sent"),
    [
        # how often, and how many: counted by an answer
        (
            '{repeat: {state: 0, max: 9, steps: LOCAL, update: 1, until: "{{ steps.one.result < loop.index }}"}}',
            ["iterations", "converged", "history | length"],
        ),
        (
            '{foreach: {over: "{{ range(steps.one.result) }}", key: "k{{ each.index }}", steps: LOCAL, result: 1}}',
            ["summary.total", "results | length", "results | sum", "completed", "by_key", "items"],
        ),
        (
            '{foreach: {matrix: {x: "{{ range(steps.one.result) }}"}, steps: LOCAL, result: 1}}',
            ["summary", "results | length"],
        ),
        ('{when: "{{ steps.one.result > 3 }}", local: {value: 1}}', ["status"]),
        # errors quote what they are about, and what tasks inside have said
        (
            '{local: {value: 1}, checks: [{that: "{{ false }}", message: "it is {{ steps.one.result }}"}]}',
            ["error.message"],
        ),
        (
            '{local: {value: "{{ steps.one.result }}"}, checks: [{that: "{{ false }}", message: "{{ this.result }}"}]}',
            ["error"],
        ),
        ('{gate: {message: "{{ steps.one.result }} rows?"}}', ["error.message"]),
        ("{repeat: {state: 0, max: 2, on_max: continue, steps: TASK, update: 1}}", ["error.message", "error"]),
        ("{foreach: {over: [1], steps: TASK}}", ["error.message"]),
        ("{foreach: {over: [1], on_item_failure: continue, steps: TASK}}", ["items", "items[0].error"]),
    ],
)
def test_how_a_step_fared_tells_no_answer(step: str, sent: list[str]) -> None:
    for attribute in sent:
        assert len(fared(step, attribute)) == 1, attribute


@pytest.mark.parametrize(
    ("step", "sent"),
    [
        (
            '{repeat: {state: 0, max: 9,steps: TASK, update: "{{sum(steps.a.results)}}", until: "{{loop.next > 3}}"}}',
            ["iterations", "converged", "history | length", "error.kind"],
        ),
        (
            '{foreach: {over: "{{ steps.all.by_organization }}", steps: TASK, result: 1}}',
            ["summary.total", "results | sum", "error.kind"],
        ),
        ('{when: "{{ sum(steps.all.results) > 3 }}", local: {value: 1}}', ["status", "error.message"]),
        ("{foreach: {over: [1], steps: TASK}}", ["items"]),
    ],
)
def test_how_a_step_fared_is_sent_where_no_answer_decides_it(step: str, sent: list[str]) -> None:
    for attribute in sent:
        assert fared(step, attribute) == [], attribute


@pytest.mark.parametrize("sent", ["each[params.k]", "loop[params.k]", "loop.state", "each.item"])
def test_what_of_an_item_or_a_round_is_computed(sent: str) -> None:
    text = f"""
  many:
    foreach:
      over: "{{{{ steps.all.results }}}}"
      steps:
        fit:
          repeat:
            state: "{{{{ each.item }}}}"
            max: 2
            on_max: continue
            steps: {{a: {{task: {{method: m, kwargs: {{x: "{{{{ {sent} }}}}"}}}}}}}}
            update: 1
params: {{k: {{default: item}}}}
"""
    assert len(nested(text)) == 1


def test_a_whole_loop_that_is_sent_is_told_and_no_bug() -> None:
    text = """v6flow: 1
steps:
  one: {task: {method: m, organization: alpha}}
  r:
    repeat:
      state: "{{ steps.one.result }}"
      max: 2
      on_max: continue
      steps: {a: {task: {method: m, kwargs: {x: "{{ loop | json }}"}}}}
      update: 1
finally:
  last: {task: {method: m, kwargs: {x: "{{ run[params.k] }}"}}}
params: {k: {default: error}}
"""
    found = soundness.check(reading.parse(document.parse(text, "w.yaml")))
    assert [each.position.line for each in found if each.rule == "cross-site"] == [9, 12]


@pytest.mark.parametrize("value", ["params", "params | json", "params[params.k]", "params.raw"])
def test_what_goes_through_another_file_is_followed_however_it_is_named(value: str) -> None:
    inner = f"""v6flow: 1
params: {{raw: {{}}, k: {{default: raw}}}}
outputs: {{x: "{{{{ {value} }}}}"}}
steps: {{a: {{local: {{value: 1}}}}}}
"""
    text = f"""{NESTED}
  by: {{workflow: {{file: i.yaml, params: {{raw: "{{{{ steps.alpha.result }}}}"}}}}}}
  after: {{task: {{method: m, kwargs: {{x: "{{{{ steps.by.result.x }}}}"}}}}}}
"""
    files = {"i.yaml": reading.parse(document.parse(inner, "i.yaml"))}
    found = soundness.check(reading.parse(document.parse(text, "w.yaml"), files=files))
    assert [(each.rule, each.position.line) for each in found] == [("cross-site", 7)]
