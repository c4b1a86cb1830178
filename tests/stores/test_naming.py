"""The ids of runs."""

from __future__ import annotations

import pytest

from v6flow.stores.run_ids import check_id, run_id, run_prefix, time_of


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ("average", "average-20261121-0523-k3f9"),
        ("Kaplan Meier/é", "kaplan-meier-e-20261121-0523-k3f9"),
        ("../../etc", "etc-20261121-0523-k3f9"),
        ("生存", "run-20261121-0523-k3f9"),
        ("x" * 300, "x" * 60 + "-20261121-0523-k3f9"),
    ],
)
def test_an_id_says_what_and_when(workflow: str, expected: str) -> None:
    name = run_id(workflow, 1795238580.9, "k3f9")
    assert name == expected
    assert check_id(name) == name


@pytest.mark.parametrize("random4", ["", "abc", "abcde", "../x", "ABCD"])
def test_an_id_ends_in_four_characters(random4: str) -> None:
    with pytest.raises(ValueError, match="four"):
        run_id("average", 0, random4)


def test_an_id_begins_with_its_workflow_and_has_its_time() -> None:
    name = run_id("Kaplan Meier", 1795238580.9, "k3f9")
    assert name.startswith(run_prefix("Kaplan Meier"))
    assert time_of(name) == 1795238580.0
    assert time_of("whatever") is None
    assert time_of("w-20269999-0523-k3f9") is None
