"""The logistic regression of all hospitals is that of all rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trusted
from pooling import near, outputs, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")

PREDICTORS = ["age", "bmi", "smoker"]


def assert_fits(found: dict[str, Any], table: Any, outcome: str, predictors: list[str]) -> None:
    """Where the likelihood is highest its derivatives are nothing, and its curvature gives the errors."""
    complete = table[[outcome, *predictors]].dropna()
    design = np.column_stack([np.ones(len(complete)), complete[predictors]])
    linear = design @ np.array(found["coefficients"])
    probability = 1 / (1 + np.exp(-linear))
    assert np.abs(design.T @ (complete[outcome] - probability)).max() < 1e-6
    covariance = np.linalg.inv((design * (probability * (1 - probability)).reshape(-1, 1)).T @ design)
    assert found["standard_errors"] == near(np.sqrt(np.diag(covariance)).tolist(), trusted.ERRORS)
    likelihood = (complete[outcome] * linear - np.logaddexp(0, linear)).sum()
    assert found["log_likelihood"] == near(float(likelihood))
    assert (found["n"], found["dropped"]) == (len(complete), len(table) - len(complete))


def test_it_is_that_of_all_rows(tmp_path: Path) -> None:
    found = outputs("logistic_regression", tmp_path)
    assert found["terms"] == ["intercept", *PREDICTORS]
    assert 3 < found["iterations"] < 12
    assert_fits(found, pooled(), "diabetes", PREDICTORS)
    trusted.assert_as(found, trusted.logistic(pooled(), "diabetes", PREDICTORS), standard_errors=trusted.ERRORS)
