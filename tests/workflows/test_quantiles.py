"""The quantiles of all hospitals are those of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trusted
from pooling import outputs, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


def test_they_are_those_of_all_rows(tmp_path: Path) -> None:
    found = outputs("quantiles", tmp_path, precision=1e-4, high=20)
    assert list(found["quantiles"]) == ["0.25", "0.5", "0.75"]
    trusted.assert_just_above(found["quantiles"], trusted.quantiles(pooled()["cholesterol"], [0.25, 0.5, 0.75]), 1e-4)
