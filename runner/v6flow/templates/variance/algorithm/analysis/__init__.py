"""A hospital's parts of a mean and a variance: the methods that a task can call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import UserInputError

from analysis.columns import LARGEST, numbers, require_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["partial_sum", "partial_variance"]


@data(1)
def partial_sum(table: pd.DataFrame, column: str) -> dict:
    """The first pass, this hospital's part of a mean: {count, missing, sum}."""
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded))
    return {"count": len(recorded), "missing": len(table) - len(recorded), "sum": math.fsum(recorded)}


@data(1)
def partial_variance(table: pd.DataFrame, column: str, mean: float) -> dict:
    """The second pass: {count, squared_deviations} about the mean of all hospitals."""
    if isinstance(mean, bool) or not isinstance(mean, (int, float)) or not abs(mean) <= LARGEST:
        raise UserInputError(f"'mean' must be a finite number, not {mean!r}.")
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded))
    deviations = recorded - float(mean)
    return {"count": len(recorded), "squared_deviations": math.fsum(deviations * deviations)}
