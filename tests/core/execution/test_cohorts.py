"""Cohorts: which may stand together."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import pytest

from v6flow.core.execution.cohorts import difference, unreachable

ABC = ("all", ("a", "b", "c"))
AB = ("two", ("a", "b"))
C = ("one", ("c",))


@pytest.mark.parametrize("cohorts", [[], [ABC], [ABC, ("again", ("c", "a", "b"))], [("x", ()), ("y", ())]])
def test_equal_cohorts_agree(cohorts: list[tuple[str, tuple[str, ...]]]) -> None:
    assert difference(cohorts) is None


def test_the_difference_names_steps_and_organizations() -> None:
    assert difference([ABC, AB, ("none", ())]) == (
        "it mixes answers of different cohorts: all by a, b, c; two by a, b (without c); none by nobody (without a, b, c)"
    )


def sets(*cohorts: tuple[str, tuple[str, ...]]) -> set[frozenset[str]]:
    return {frozenset(names) for _, names in cohorts}


def test_an_accepted_mixture_may_stand_together_but_with_nothing_else() -> None:
    assert difference([ABC, AB], [sets(ABC, AB)]) is None
    assert difference([ABC, AB, C], [sets(ABC, AB, C)]) is None
    assert difference([ABC, AB, C], [sets(ABC, AB)]) is not None
    assert difference([ABC, AB, C], [sets(ABC, AB), sets(AB, C)]) is not None  # two mixtures make no third
    assert difference([ABC, AB], [set()]) is not None


@pytest.mark.parametrize(
    ("asked", "needed", "required", "reachable"),
    [
        (("a", "b"), 2, (), True),
        (("a", "b", "c"), 2, (), True),
        (("a", "b", "c"), 3, (), False),  # three must answer, and two are carried
        (("a", "c"), 1, (), False),  # b cannot answer
        (("a", "b", "c"), 2, ("c",), False),
    ],
)
def test_whether_the_carried_cohort_can_answer_is_known_before_asking(
    asked: tuple[str, ...], needed: int, required: tuple[str, ...], reachable: bool
) -> None:
    assert (unreachable([("s", ("a", "b"))], asked, needed, required) is None) is reachable
    assert unreachable([], asked, needed, required) is None
