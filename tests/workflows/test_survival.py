"""Survival curves, their test and a Cox regression of all hospitals are those of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pooling import near, outputs, pooled

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


def test_curves_and_the_test_are_those_of_statsmodels(tmp_path: Path) -> None:
    duration = pytest.importorskip("statsmodels.duration.survfunc")
    found, table = outputs("survival", tmp_path, group="smoker"), pooled().dropna(subset=["smoker"])
    for group, rows in table.groupby("smoker"):
        fit = duration.SurvfuncRight(rows.months, rows.died)
        at = [found["times"].index(time) for time in fit.surv_times]
        curve = found["curves"][str(group)]
        assert [curve["survival"][place] for place in at] == near(fit.surv_prob.tolist())
        assert [curve["standard_errors"][place] for place in at] == near(fit.surv_prob_se.tolist())
    chi_square, p_value = duration.survdiff(table.months, table.died, table.smoker)
    assert found["log_rank"]["chi_square"] == near(float(chi_square))
    assert found["log_rank"]["p_value"] == near(float(p_value))
    assert sum(found["log_rank"]["observed"].values()) == table.died.sum()
    assert sum(found["log_rank"]["expected"].values()) == near(float(table.died.sum()))


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
    api = pytest.importorskip("statsmodels.api")
    found = outputs("cox", tmp_path, predictors=["age", "smoker", "diabetes"])
    complete = pooled()[["months", "died", "age", "smoker", "diabetes"]].dropna()
    fit = api.PHReg(complete.months, complete[["age", "smoker", "diabetes"]], complete.died, ties="breslow").fit()
    assert found["coefficients"] == near(fit.params.tolist(), 1e-5)
    assert found["standard_errors"] == near(fit.bse.tolist(), 1e-5)
    assert found["log_likelihood"] == near(float(fit.llf))
