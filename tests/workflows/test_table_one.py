"""The table of all hospitals is that of all rows together, and says which columns it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trusted
from pooling import near, outputs, pooled

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
