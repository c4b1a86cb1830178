"""Preconditions: params that do not go together are refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from driver import make, workflow

from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import preconditions

TEXT = """\
params: {start: {default: 1}, end: {default: 2}, least: {}}
preconditions:
  - {that: "{{ params.start < params.end }}", message: "{{ params.start }} is not before {{ params.end }}"}
  - {that: "{{ params.least > 1 }}", message: too few}
steps: {a: {local: {value: 1}}}
"""


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"start": 1, "end": 2, "least": 2}, []),
        ({"start": 3, "end": 2, "least": 2}, ["5:12 3 is not before 2"]),
        ({"start": 3, "end": 2, "least": 1}, ["5:12 3 is not before 2", "6:12 too few"]),
        ({"start": 3, "end": 2}, ["5:12 3 is not before 2"]),  # of what has no value, nothing is said
        ({"start": "x", "end": 2}, ["5:12 it cannot be judged whether params.start < params.end: "]),
    ],
)
def test_which_are_not_met(params: dict[str, Any], told: list[str]) -> None:
    found = preconditions.problems(workflow(TEXT), params)
    assert len(found) == len(told)
    for problem, expected in zip(found, told, strict=True):
        assert problem.rule == "precondition"
        where = f"{problem.position.line}:{problem.position.column} {problem.message}"
        assert where.startswith(expected)


def test_one_that_is_neither_true_nor_false_is_not_met() -> None:
    found = workflow(TEXT.replace("{{ params.least > 1 }}", "{{ params.least }}"))
    (problem,) = preconditions.problems(found, {"start": 1, "end": 2, "least": 5})
    assert problem.message == "a check must be true or false, and params.least is a number"


def test_no_plan_is_made_of_params_that_do_not_fit() -> None:
    assert make(TEXT, params={"least": 2}).params["least"] == 2
    with pytest.raises(InvalidError) as caught:
        make(TEXT, params={"least": 1})
    assert [each.message for each in caught.value.problems] == ["too few"]
    assert caught.value.exit_code == 2
