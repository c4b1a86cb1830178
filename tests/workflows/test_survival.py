"""Survival curves, their test and a Cox regression of all hospitals are those of all rows together."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trusted
from pooling import WORKFLOWS, near, outputs, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")


def test_curves_are_those_of_all_rows(tmp_path: Path) -> None:
    found = outputs("survival", tmp_path)
    table = pooled()
    for group, rows in table.groupby("sex"):
        left, expected = 1.0, []
        for time in found["times"]:
            left *= 1 - ((rows.months == time) & (rows.died == 1)).sum() / (rows.months >= time).sum()
            expected.append(left)
        assert found["curves"][group]["survival"] == near(expected, 1e-12)
        assert found["curves"][group]["count"] == len(rows)
    assert found["times"] == sorted(set(table.months[table.died == 1]))


@pytest.mark.parametrize("group", ["sex", "smoker"])
def test_curves_and_the_test_are_those_of_statsmodels(group: str, tmp_path: Path) -> None:
    found, table = outputs("survival", tmp_path, group=group), pooled().dropna(subset=[group])
    trusted.assert_curves(found, trusted.curves(table, "months", "died", group))
    trusted.assert_as(found["log_rank"], trusted.log_rank(table, "months", "died", group))
    assert sum(found["log_rank"]["observed"].values()) == table.died.sum()
    assert sum(found["log_rank"]["expected"].values()) == near(float(table.died.sum()))


def test_one_group_alone_is_compared_with_none() -> None:
    models = runpy.run_path(str(WORKFLOWS / "models.py"))
    table = {"all": {"count": 2, "at_risk": [2, 1], "events": [1, 1]}}
    with pytest.raises(ValueError, match="compares groups, and there is all alone"):
        models["log_rank"]([table, table])


def test_cox(tmp_path: Path) -> None:
    found = outputs("cox", tmp_path)
    complete = pooled()[["months", "died", "age", "smoker"]].dropna()
    design = complete[["age", "smoker"]].to_numpy()
    risk = np.exp(design @ np.array(found["coefficients"]))
    score: Any = np.zeros(2)
    for row, (time, died) in enumerate(zip(complete.months, complete.died, strict=True)):
        if died:
            followed = complete.months.to_numpy() >= time
            score += design[row] - (risk[followed] @ design[followed]) / risk[followed].sum()
    assert np.abs(score).max() < 1e-6  # where the partial likelihood is highest its derivatives are nothing


def test_cox_is_that_of_statsmodels(tmp_path: Path) -> None:
    predictors = ["age", "smoker", "diabetes"]
    found = outputs("cox", tmp_path, predictors=predictors)
    expected = trusted.cox(pooled(), "months", "died", predictors)
    trusted.assert_as(found, expected, standard_errors=trusted.ERRORS)
