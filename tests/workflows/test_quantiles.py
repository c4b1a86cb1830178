"""The quantiles of all hospitals are those of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pooling import heart, heart_federation, needs_heart, outputs, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


def test_they_are_those_of_all_rows(tmp_path: Path) -> None:
    found = outputs("quantiles", tmp_path, precision=1e-4, high=20)
    column = pooled()["cholesterol"].dropna()
    expected = np.quantile(column, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    assert list(found["quantiles"]) == ["0.25", "0.5", "0.75"]
    assert list(found["quantiles"].values()) == pytest.approx(expected, abs=1e-4)


@needs_heart
def test_they_are_those_of_all_real_patients(tmp_path: Path) -> None:
    federation = heart_federation(tmp_path)
    params = {"column": "max_heart_rate", "quantiles": [0.1, 0.9], "high": 256, "precision": 1e-3}
    found = outputs("quantiles", tmp_path, federation=federation, **params)
    expected = np.quantile(heart()["max_heart_rate"].dropna(), [0.1, 0.9], method="inverted_cdf").tolist()
    assert list(found["quantiles"].values()) == pytest.approx(expected, abs=1e-3)
