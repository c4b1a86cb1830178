"""The logistic regression of all hospitals is that of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pooling import heart, heart_federation, near, needs_heart, outputs, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")

PREDICTORS = ["age", "bmi", "smoker"]
ANGINA = {"outcome": "exercise_angina", "predictors": ["age", "sex", "max_heart_rate"]}


def assert_fits(found: dict[str, Any], table: Any, outcome: str, predictors: list[str]) -> None:
    """Where the likelihood is highest its derivatives are nothing, and its curvature gives the errors."""
    complete = table[[outcome, *predictors]].dropna()
    design = np.column_stack([np.ones(len(complete)), complete[predictors]])
    linear = design @ np.array(found["coefficients"])
    probability = 1 / (1 + np.exp(-linear))
    assert np.abs(design.T @ (complete[outcome] - probability)).max() < 1e-6
    covariance = np.linalg.inv((design * (probability * (1 - probability)).reshape(-1, 1)).T @ design)
    assert found["standard_errors"] == near(np.sqrt(np.diag(covariance)).tolist())
    likelihood = (complete[outcome] * linear - np.logaddexp(0, linear)).sum()
    assert found["log_likelihood"] == near(float(likelihood))
    assert (found["n"], found["dropped"]) == (len(complete), len(table) - len(complete))


def assert_as_statsmodels(found: dict[str, Any], table: Any, outcome: str, predictors: list[str]) -> None:
    api = pytest.importorskip("statsmodels.api")
    complete = table[[outcome, *predictors]].dropna()
    fit = api.Logit(complete[outcome], api.add_constant(complete[predictors])).fit(disp=0, tol=1e-12)
    assert found["coefficients"] == near(fit.params.tolist())
    assert found["standard_errors"] == near(fit.bse.tolist())
    assert found["log_likelihood"] == near(float(fit.llf))


def test_it_is_that_of_all_rows(tmp_path: Path) -> None:
    found = outputs("logistic_regression", tmp_path)
    assert found["terms"] == ["intercept", *PREDICTORS]
    assert 3 < found["iterations"] < 12
    assert_fits(found, pooled(), "diabetes", PREDICTORS)
    assert_as_statsmodels(found, pooled(), "diabetes", PREDICTORS)


@needs_heart
def test_it_is_that_of_all_real_patients(tmp_path: Path) -> None:
    found = outputs("logistic_regression", tmp_path, federation=heart_federation(tmp_path), **ANGINA)
    assert_fits(found, heart(), "exercise_angina", ["age", "sex", "max_heart_rate"])
    assert_as_statsmodels(found, heart(), "exercise_angina", ["age", "sex", "max_heart_rate"])
