"""The clusters of all hospitals are those of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trusted
from pooling import WORKFLOWS, outputs, pooled

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


@pytest.mark.parametrize("starts", [[[35, 115], [60, 150]], [[50, 100], [55, 170]]])
def test_they_are_those_of_all_rows(starts: list[list[float]], tmp_path: Path) -> None:
    found = outputs("kmeans", tmp_path, centers=starts)
    rows = pooled()[["age", "systolic_bp"]].dropna().to_numpy()
    trusted.assert_as(found, trusted.clusters(rows, starts))


def test_a_hospital_with_too_few_rows_near_a_centre_refuses_by_name(tmp_path: Path) -> None:
    params = {"centers": [[20, 100], [50, 130], [70, 150]]}
    run = v6flow.run(WORKFLOWS / "kmeans.yaml", params=params, store=tmp_path / "store")
    assert run.status == "failed"
    assert "Rows of a centre: fewer here than this node's minimum" in str(run.document()["error"]["message"])
