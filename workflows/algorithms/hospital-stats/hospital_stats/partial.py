"""The functions that run at every hospital, on its own rows, and return aggregates only.

Missing values are dropped column by column (in `regression`: row by row) and counted. Each function answers
only if at least MINIMUM_ROWS recorded values remain (set in the node's configuration; 10 if it is not), and
never with NaN or an infinity: what cannot be computed is an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import DataError, UserInputError
from vantage6.algorithm.tools.util import info

from hospital_stats.columns import LARGEST, names, numbers, require_rows

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "intercept"


@data(1)
def partial_average(table: pd.DataFrame, column: str) -> dict:
    """What this hospital adds to an average: {count, missing, sum, mean}."""
    moments = _moments(table, column)
    return {
        "count": moments["count"],
        "missing": moments["missing"],
        "sum": moments["sum"],
        "mean": moments["sum"] / moments["count"],
    }


@data(1)
def partial_moments(table: pd.DataFrame, column: str) -> dict:
    """What this hospital adds to a mean and a variance: {count, missing, sum, sum_of_squares}."""
    return _moments(table, column)


@data(1)
def partial_variance(table: pd.DataFrame, column: str, mean: float) -> dict:
    """The second pass of a variance: {count, sum_of_squared_deviations} around the mean of all hospitals."""
    if isinstance(mean, bool) or not isinstance(mean, (int, float)) or not abs(mean) <= LARGEST:
        raise UserInputError(f"'mean' must be a finite number, not {mean!r}.")
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded), f"Values of {column!r}")
    deviations = recorded - float(mean)
    return {"count": len(recorded), "sum_of_squared_deviations": math.fsum(deviations * deviations)}


@data(1)
def summary(table: pd.DataFrame, columns: list[str]) -> dict:
    """The moments of several columns: {column: {count, missing, sum, sum_of_squares}}.

    One column with too few recorded values fails the whole answer: a table with holes would be pooled from
    different hospitals in different rows.
    """
    return {column: _moments(table, column) for column in names(columns, "columns")}


@data(1)
def regression(table: pd.DataFrame, outcome: str, predictors: list[str]) -> dict:
    """Least squares of an outcome on predictors and an intercept, on this hospital's complete rows.

    Returns {n, dropped, degrees_of_freedom, residual_standard_error, coefficients}; the last maps `intercept`
    and each predictor to {estimate, standard_error}. `dropped` counts the rows in which the outcome or a
    predictor is missing. The standard errors assume the same spread at all values (no robust correction).
    Columns must hold numbers: code sex as 0 and 1.
    """
    predictors = names(predictors, "predictors")
    if not isinstance(outcome, str) or outcome in predictors or INTERCEPT in predictors:
        raise UserInputError(f"The outcome must not be a predictor, and no predictor {INTERCEPT!r}.")
    complete = numbers(table, [outcome, *predictors]).dropna()
    require_rows(len(complete), "Complete rows")
    info(f"Fitting {outcome} on {len(predictors)} predictors")
    terms = [INTERCEPT, *predictors]
    fit = _least_squares(complete[outcome].to_numpy(), complete[predictors].to_numpy(), terms)
    return {"n": len(complete), "dropped": len(table) - len(complete), **fit}


def _moments(table: pd.DataFrame, column: str) -> dict:
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded), f"Values of {column!r}")
    return {
        "count": len(recorded),
        "missing": len(table) - len(recorded),
        "sum": math.fsum(recorded),
        "sum_of_squares": math.fsum(recorded * recorded),
    }


def _least_squares(outcome: np.ndarray, predictors: np.ndarray, terms: list[str]) -> dict:
    design = np.column_stack([np.ones(len(outcome)), predictors])
    degrees_of_freedom = len(outcome) - len(terms)
    if degrees_of_freedom < 1:
        raise DataError(f"{len(terms)} coefficients need more complete rows than this hospital has.")
    # Columns of equal length, so that the rank does not depend on the predictors' units.
    lengths = np.linalg.norm(design, axis=0)
    if (lengths == 0).any() or np.linalg.matrix_rank(design / lengths) < len(terms):
        raise DataError("A predictor is constant here, or a combination of the others.")
    orthogonal, triangular = np.linalg.qr(design / lengths)
    inverse = np.linalg.inv(triangular)
    estimates = inverse @ (orthogonal.T @ outcome) / lengths
    residuals = outcome - design @ estimates
    spread = math.sqrt(float(residuals @ residuals) / degrees_of_freedom)
    standard_errors = spread * np.linalg.norm(inverse, axis=1) / lengths
    return {
        "degrees_of_freedom": degrees_of_freedom,
        "residual_standard_error": spread,
        "coefficients": {
            term: {"estimate": estimate, "standard_error": standard_error}
            for term, estimate, standard_error in zip(terms, estimates.tolist(), standard_errors.tolist(), strict=True)
        },
    }
