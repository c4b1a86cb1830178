"""Newton's method for a logistic regression, with the hospitals' derivatives; runs on the machine of v6flow."""

from __future__ import annotations

import math


def start(predictors: list[str]) -> dict:
    """The initial coefficients: all zero, the intercept first."""
    return {"coefficients": [0.0] * (len(predictors) + 1)}


def step(coefficients: list[float], partials: list[dict]) -> dict:
    """The coefficients of the next iteration: {coefficients, covariance, moved, log_likelihood, count, dropped}.

    `moved` is by how many standard errors a coefficient has moved at most. `covariance` and `log_likelihood` are those
    at the coefficients that the hospitals were asked about.
    """
    size = range(len(coefficients))
    gradient = [math.fsum(part["gradient"][i] for part in partials) for i in size]
    information = [[math.fsum(part["information"][i][j] for part in partials) for j in size] for i in size]
    covariance = _inverse(information)
    moves = [math.fsum(covariance[i][j] * gradient[j] for j in size) for i in size]
    return {
        "coefficients": [coefficients[i] + moves[i] for i in size],
        "covariance": covariance,
        "moved": max(abs(moves[i]) / math.sqrt(covariance[i][i]) for i in size),
        "log_likelihood": math.fsum(part["log_likelihood"] for part in partials),
        "count": sum(part["count"] for part in partials),
        "dropped": sum(part["dropped"] for part in partials),
    }


def finish(predictors: list[str], last: dict) -> dict:
    """The fitted model after the last iteration: {count, dropped, log_likelihood, coefficients}."""
    terms = ["intercept", *predictors]
    errors = [math.sqrt(last["covariance"][i][i]) for i in range(len(terms))]
    rows = zip(terms, last["coefficients"], errors, strict=True)
    return {
        "count": last["count"],
        "dropped": last["dropped"],
        "log_likelihood": last["log_likelihood"],
        "coefficients": {
            term: {"estimate": estimate, "standard_error": error, "odds_ratio": math.exp(estimate)}
            for term, estimate, error in rows
        },
    }


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """The inverse, by elimination on the matrix scaled to ones on its diagonal. Raises ValueError."""
    size = range(len(matrix))
    if any(not matrix[i][i] > 0 for i in size):
        raise ValueError("a predictor is zero for everybody, or the outcomes are told apart completely")
    scale = [math.sqrt(matrix[i][i]) for i in size]
    rows = [[matrix[i][j] / scale[i] / scale[j] for j in size] + [float(i == j) for j in size] for i in size]
    for i in size:
        pivot = max(range(i, len(rows)), key=lambda row: abs(rows[row][i]))
        if abs(rows[pivot][i]) < 1e-12:
            raise ValueError("a predictor is constant, or a combination of the others")
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for other in size:
            if other != i:
                factor = rows[other][i]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[i], strict=True)]
    return [[rows[i][len(matrix) + j] / scale[i] / scale[j] for j in size] for i in size]
