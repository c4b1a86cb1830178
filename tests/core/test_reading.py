"""A file that its schema refuses still has the rest of it judged."""

from __future__ import annotations

import pytest

from v6flow import loading
from v6flow.core.language.problem import InvalidError

TEXT = """\
v6flow: 1
params:
  column: {type: strng}
steps:
  a:
    local: {value: "{{ steps.b.result + params.column }}"}
    timeout: 30
  b:
    local: {value: "{{ steps.c.result }}"}
  c:
    local: {value: "{{ [steps.b.result, steps.a.result, steps.d.result] }}"}
outputs:
  x: "{{ steps.e.result }}"
"""


def rules(text: str) -> list[tuple[int, str]]:
    with pytest.raises(InvalidError) as caught:
        loading.parse_workflow(text, "flow.yaml")
    return [(problem.position.line, problem.rule) for problem in caught.value.problems]


def test_what_the_schema_refuses_hides_nothing_else() -> None:
    assert rules(TEXT) == [
        (3, "bad-value"),
        (7, "wrong-type"),
        (8, "cycle"),
        (11, "unknown-step"),
        (13, "unknown-step"),
    ]


def test_nothing_is_said_of_what_uses_a_refused_entry() -> None:
    text = TEXT.replace("steps.d.result", "1").replace("steps.e.result", "steps.a.anything")
    assert rules(text) == [(3, "bad-value"), (7, "wrong-type"), (8, "cycle")]


def test_a_file_without_steps_has_nothing_left_to_judge() -> None:
    assert rules("v6flow: 1\nsteps: 3\n") == [(2, "wrong-type")]
