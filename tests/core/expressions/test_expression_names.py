"""Names that steps, params and `as` may have."""

from __future__ import annotations

import pytest

from v6flow.core.expressions import ROOTS, WORDS, name_problem
from v6flow.core.expressions.names import place


@pytest.mark.parametrize(
    "name", ["a", "A", "pooled_variance", "step2", "a_", "x" * 63, "sum", "params2", "Result", "IN"]
)
def test_good_name(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("my-step", "write my_step"),
        ("my step", "write my_step"),
        ("größe", "write gro_e"),
        ("écart", "write ecart"),
        ("a.b", "write a_b"),
        ("_x", "write x"),
        ("2nd", "begins with a letter"),
        ("", "begins with a letter"),
        ("-", "begins with a letter"),
        ("in-", "begins with a letter"),
        ("a\n", "write a ("),
        ("x" * 64, "longer than 63"),
        ("not", "write my_not"),
        ("None", "write my_none"),
        ("steps", "write my_steps"),
        ("omit", "write my_omit"),
    ],
)
def test_bad_name(name: str, part: str) -> None:
    assert part in str(name_problem(name))


@pytest.mark.parametrize("name", sorted(WORDS | ROOTS))
def test_taken_name_and_its_remedy(name: str) -> None:
    assert name_problem(name) is not None
    assert name_problem(f"my_{name.lower()}") is None


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("my-step", "my_step"),
        ("é à", "e_a"),
        ("a" * 70 + "-b", "a" * 63),
        ("steps-x", "steps_x"),
        ("_a-b_", "a_b"),
    ],
)
def test_the_remedy_is_a_good_name(name: str, better: str) -> None:
    assert f"write {better} (" in str(name_problem(name))
    assert name_problem(better) is None


def test_place() -> None:
    assert (
        place(("steps", "a", "by_organization", "St. Alpha", 0, None)) == "steps.a.by_organization['St. Alpha'][0][…]"
    )
