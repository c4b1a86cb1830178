"""The table of all hospitals is that of all rows together, and says which columns it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trusted
from pooling import WORKFLOWS, near, outputs, pooled

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


def test_it_is_that_of_all_rows(tmp_path: Path) -> None:
    found = outputs("table_one", tmp_path, columns=["age", "bmi", "height", "diabetes"])
    assert list(found["table"]) == ["age", "bmi", "diabetes"]
    assert found["left_out"] == ["height"]
    for name, row in found["table"].items():
        expected = trusted.moments(pooled()[name])
        assert row["mean"] == near(expected["mean"], 1e-12)
        trusted.assert_as(row, {key: expected[key] for key in row})


def test_a_column_more_asks_for_that_column_only(tmp_path: Path) -> None:
    first, more = (
        v6flow.run(WORKFLOWS / "table_one.yaml", params={"columns": columns}, store=tmp_path / "store").check()
        for columns in (["age", "bmi"], ["age", "bmi", "smoker"])
    )
    table: Any = more.outputs["table"]
    assert {name: row for name, row in table.items() if name != "smoker"} == first.outputs["table"]
    assert more.state.queries == {"alpha": 1, "beta": 1, "gamma": 1}
    reused = [name for name, step in more.state.steps.items() if step.reused is not None]
    assert reused == ["table[1].moments", "table[2].moments"]
