"""The functions that a hospital is asked again and again, each time about other numbers.

As in `partial`, each answers only about MINIMUM_ROWS rows or more, and never with NaN or an infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import DataError, UserInputError

from hospital_stats.columns import LARGEST, names, numbers, require_rows, vector

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "intercept"


@data(1)
def count_up_to(table: pd.DataFrame, column: str, value: float) -> dict:
    """How many of the recorded values are at most a number: {count, missing, up_to}."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise UserInputError(f"'value' must be a finite number, not {value!r}.")
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded), f"Values of {column!r}")
    return {
        "count": len(recorded),
        "missing": len(table) - len(recorded),
        "up_to": int((recorded <= value).sum()),
    }


@data(1)
def logistic_derivatives(
    table: pd.DataFrame, outcome: str, predictors: list[str], coefficients: list[float] | None
) -> dict:
    """What this hospital adds to one of Newton's steps of a logistic regression, at these coefficients.

    `coefficients` are those of the intercept and of each predictor, in order; null: all are 0. Returns {n, dropped,
    events, log_likelihood, gradient, information}: the first derivatives and minus the second ones, over the
    complete rows. The outcome is 1 or 0.
    """
    predictors = names(predictors, "predictors")
    if not isinstance(outcome, str) or outcome in predictors or INTERCEPT in predictors:
        raise UserInputError(f"The outcome must not be a predictor, and no predictor {INTERCEPT!r}.")
    terms = len(predictors) + 1
    beta = np.zeros(terms) if coefficients is None else vector(coefficients, terms, "coefficients")
    complete = numbers(table, [outcome, *predictors]).dropna()
    require_rows(len(complete), "Complete rows")
    observed = complete[outcome].to_numpy()
    if not np.isin(observed, (0.0, 1.0)).all():
        raise DataError(f"The outcome {outcome!r} holds other values than 0 and 1 here.")
    design = np.column_stack([np.ones(len(complete)), complete[predictors].to_numpy()])
    linear = design @ beta
    if not (np.abs(linear) < 500).all():
        raise DataError("With these coefficients the probabilities are 0 and 1: the fit does not converge.")
    probability = 1 / (1 + np.exp(-linear))
    information = (design * (probability * (1 - probability))[:, None]).T @ design
    return {
        "n": len(complete),
        "dropped": len(table) - len(complete),
        "events": int(observed.sum()),
        "log_likelihood": math.fsum(observed * linear - np.logaddexp(0, linear)),
        "gradient": (design.T @ (observed - probability)).tolist(),
        "information": information.tolist(),
    }


@data(1)
def cluster_sums(table: pd.DataFrame, columns: list[str], centers: list[list[float]]) -> dict:
    """What this hospital adds to one step of k-means: {n, dropped, counts, sums, within}, each by centre.

    A complete row belongs to the centre that is nearest; `within` is the sum of squared distances. A centre that
    has fewer rows here than this node's minimum, but some, fails the answer.
    """
    columns = names(columns, "columns")
    if not isinstance(centers, list) or not centers:
        raise UserInputError("'centers' must be a list of points.")
    points = np.stack([vector(center, len(columns), "centers") for center in centers])
    complete = numbers(table, columns).dropna().to_numpy()
    require_rows(len(complete), "Complete rows")
    distances = ((complete[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(points))
    for count in counts[counts > 0].tolist():
        require_rows(count, "Rows of a centre")
    return {
        "n": len(complete),
        "dropped": len(table) - len(complete),
        "counts": counts.tolist(),
        "sums": [complete[nearest == number].sum(axis=0).tolist() for number in range(len(points))],
        "within": math.fsum(distances.min(axis=1)),
    }
