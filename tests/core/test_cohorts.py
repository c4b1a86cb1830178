"""Cohorts: which may stand together."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import pytest

from v6flow.core.cohorts import difference

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
