"""The clusters of all hospitals are those of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pooling import WORKFLOWS, heart, heart_federation, near, needs_heart, outputs, pooled

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


def test_they_are_those_of_all_rows(tmp_path: Path) -> None:
    found = outputs("kmeans", tmp_path)
    rows = pooled()[["age", "systolic_bp"]].dropna().to_numpy()
    centers = np.array([[35.0, 115.0], [60.0, 150.0]])
    for _ in range(100):
        nearest = ((rows[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
        centers = np.stack([rows[nearest == number].mean(axis=0) for number in range(2)])
    assert [each for center in found["centers"] for each in center] == near(centers.ravel().tolist(), 1e-9)
    assert found["counts"] == np.bincount(nearest).tolist()
    assert found["within"] == near(float(((rows - centers[nearest]) ** 2).sum()), 1e-9)


def test_they_are_those_of_scipy(tmp_path: Path) -> None:
    vq = pytest.importorskip("scipy.cluster.vq")
    starts = [[50, 100], [55, 170]]
    found = outputs("kmeans", tmp_path, centers=starts)
    rows = pooled()[["age", "systolic_bp"]].dropna().to_numpy()
    centers, nearest = vq.kmeans2(rows, np.array(starts, dtype=float), iter=200, minit="matrix")
    assert [each for center in found["centers"] for each in center] == near(centers.ravel().tolist())
    assert found["counts"] == np.bincount(nearest).tolist()


@needs_heart
def test_they_are_those_of_all_real_patients(tmp_path: Path) -> None:
    params = {"columns": ["age", "max_heart_rate"], "centers": [[45, 160], [60, 120]]}
    found = outputs("kmeans", tmp_path, federation=heart_federation(tmp_path), **params)
    rows = heart()[["age", "max_heart_rate"]].dropna().to_numpy()
    centers = np.array(found["centers"])
    nearest = ((rows[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert np.abs(np.stack([rows[nearest == number].mean(axis=0) for number in range(2)]) - centers).max() < 1e-8


def test_a_hospital_with_too_few_rows_near_a_centre_refuses_by_name(tmp_path: Path) -> None:
    params = {"centers": [[20, 100], [50, 130], [70, 150]]}
    run = v6flow.run(WORKFLOWS / "kmeans.yaml", params=params, store=tmp_path / "store")
    assert run.status == "failed"
    assert "Rows of a centre: fewer here than this node's minimum" in str(run.document()["error"]["message"])
