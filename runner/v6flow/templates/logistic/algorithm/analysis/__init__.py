"""A hospital's part of one Newton step of a logistic regression: the methods that a task can call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import DataError, UserInputError

from analysis.columns import LARGEST, numbers, require_rows, zeros_and_ones

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["partial_logistic"]

ROWS_FOR_EACH = 5  # with fewer patients than this for each coefficient, sums could reveal single patients


@data(1)
def partial_logistic(table: pd.DataFrame, outcome: str, predictors: list[str], coefficients: list[float]) -> dict:
    """The derivatives of this hospital's log-likelihood at some coefficients, the intercept's first.

    Returns {count, dropped, log_likelihood, gradient, information}: sums over the rows in which nothing is missing.
    """
    _check(outcome, predictors, coefficients)
    complete = numbers(table, predictors).assign(**{outcome: zeros_and_ones(table, outcome)}).dropna()
    require_rows(len(complete))
    if len(complete) < ROWS_FOR_EACH * len(coefficients):
        raise DataError(f"{len(coefficients)} coefficients need more patients than this hospital has.")
    design = np.column_stack([np.ones(len(complete)), complete[predictors].to_numpy()])
    observed = complete[outcome].to_numpy()
    score = design @ np.array(coefficients, dtype="float64")
    expected = 1 / (1 + np.exp(-np.clip(score, -700, 700)))
    weighted = design * (expected * (1 - expected))[:, None]
    return {
        "count": len(complete),
        "dropped": len(table) - len(complete),
        "log_likelihood": math.fsum(observed * score - np.logaddexp(0, score)),
        "gradient": (design.T @ (observed - expected)).tolist(),
        "information": (design.T @ weighted).tolist(),
    }


def _check(outcome: object, predictors: object, coefficients: object) -> None:
    if not isinstance(predictors, list) or not predictors or len(set(predictors)) != len(predictors):
        raise UserInputError(f"'predictors' must be a list of different columns, not {predictors!r}.")
    if outcome in predictors:
        raise UserInputError("The outcome must not be a predictor.")
    if not isinstance(coefficients, list) or len(coefficients) != len(predictors) + 1:
        raise UserInputError("There must be a coefficient for the intercept and one for each predictor.")
    if not all(isinstance(each, (int, float)) and abs(each) <= LARGEST for each in coefficients):
        raise UserInputError("The coefficients must be finite numbers.")
