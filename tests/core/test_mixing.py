"""What is bound to mix cohorts is told of when the file is read."""

from __future__ import annotations

import pytest

from v6flow.core import check, document, model

STEPS = """v6flow: 1
steps:
  all: {task: {method: m}}
  most: {task: {method: m}, quorum: 2}
  share: {task: {method: m}, quorum: {min: "80%", required: [alpha]}}
  patient: {task: {method: m}, quorum: {wait: quorum}}
  two: {task: {method: m, organizations: [alpha, beta]}}
  turned: {task: {method: m, organizations: [beta, alpha]}}
  three: {task: {method: m, organizations: [alpha, beta, gamma]}, quorum: 2}
  one: {task: {method: m, organization: alpha}}
  central: {task: {method: m, organization: alpha, central: true}}
  study: {task: {method: m, study: s}}
  later: {task: {method: m, organizations: "{{ [steps.two.responded[0]] }}"}}
  after: {task: {method: m, organizations: "{{ steps.two.responded }}"}}
  n: {local: {value: "{{ steps.most.results | sum }}"}}
  both: {local: {value: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}, mixed_cohorts: gamma came later}
"""


def warnings(text: str) -> list[str]:
    found = check.check(model.parse(document.parse(STEPS + text, "w.yaml")))
    assert all(each.severity == "warning" and each.rule == "cohorts-mix" for each in found), found
    return [each.message for each in found]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('outputs: {o: "{{ [steps.two.results, steps.three.results] }}"}', "output o would mix"),
        ('outputs: {o: {a: "{{ steps.two.results }}", b: "{{ steps.one.result }}"}}', "alpha, beta; one asks alpha"),
        ('  x: {local: {value: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}}', "step x would mix"),
        (
            '  x: {local: {function: "f:f", kwargs: {a: "{{ steps.two.results }}", b: "{{ steps.three.results }}"}}}',
            "step x would mix",
        ),
        (
            '  x: {task: {method: m, kwargs: {a: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}}}',
            "step x would mix",
        ),
        ('  x: {task: {method: m, kwargs: {a: "{{ steps.n.result }}"}}}', "step x asks all again"),
        ('  x: {task: {method: m, kwargs: {a: "{{ sum(steps.share.results) }}"}}}', "step x asks all again"),
        (
            """
  x: {task: {method: m, organizations: [gamma, beta, alpha], kwargs: {a: "{{ sum(steps.three.results) }}"}}}""",
            "step x asks the same list again",
        ),
        (
            '  x: {task: {method: m, organizations: [alpha, gamma], kwargs: {a: "{{ sum(steps.two.results) }}"}}}',
            "step x asks alpha, gamma, and is sent what other organizations answered: two asks alpha, beta",
        ),
        ('outputs: {o: "{{ [steps.both.result, steps.one.result] }}"}', "output o would mix"),
    ],
)
def test_what_will_mix_is_told(text: str, told: str) -> None:
    (message,) = warnings(text)
    assert told in message


@pytest.mark.parametrize(
    "text",
    [
        'outputs: {o: "{{ [steps.two.results, steps.turned.results, steps.after.results] }}"}',
        'outputs: {o: {value: "{{ [steps.two.results, steps.three.results] }}", mixed_cohorts: so}}',
        'outputs: {o: "{{ [steps.two.results, steps.three.responded, steps.three.failures] }}"}',
        'outputs: {o: "{{ [steps.two.results, steps.all.results, steps.central.result, steps.later.results] }}"}',
        'outputs: {a: "{{ steps.two.results }}", b: "{{ steps.three.results }}"}',
        'outputs: {o: "{{ steps.both.result }}", p: "{{ [steps.both.result, steps.two.results] }}"}',
        '  x: {task: {method: m, organizations: "{{ steps.most.responded }}", kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, kwargs: {a: "{{ steps.n.result }}"}}, mixed_cohorts: so}',
        '  x: {task: {method: m, kwargs: {a: "{{ sum(steps.all.results) + sum(steps.patient.results) }}"}}}',
        '  x: {task: {method: m, organization: alpha, central: true, kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, study: s, kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, kwargs: {a: "{{ steps.most.responded }}"}}}',
    ],
)
def test_what_may_go_well_is_not_told(text: str) -> None:
    assert warnings(text) == []


def test_the_place_and_the_remedy() -> None:
    text = STEPS + '  x: {task: {method: m, kwargs: {a: 1, b: "{{ steps.n.result }}"}}}\n'
    (found,) = check.warnings(model.parse(document.parse(text, "w.yaml")))
    line = text.splitlines()[found.position.line - 1]
    assert line[found.position.column - 1 :].startswith("result }}")
    assert found.hint == 'write organizations: "{{ steps.most.responded }}", or say mixed_cohorts: <reason>'
