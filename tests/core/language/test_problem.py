"""What is wrong with a file, in one sentence where only one is wanted."""

from __future__ import annotations

from v6flow.core.language.problem import InvalidError, Position, Problem

WARNING = Problem("seldom meant", "odd", "w.yaml", Position(1, 1), severity="warning")
WRONG = Problem("wrong", "name", "w.yaml", Position(2, 3), "right")


def test_the_first_error_counts_although_a_warning_stands_before_it() -> None:
    error = InvalidError([WARNING, WRONG])
    assert error.first == WRONG
    assert error.message == "w.yaml:2:3: wrong (right) [name]"
    assert error.problems == (WARNING, WRONG)


def test_a_warning_counts_where_there_is_nothing_else() -> None:
    assert InvalidError([WARNING]).first == WARNING
