"""A hospital's part of an average: the methods that a task can call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vantage6.algorithm.tools.decorators import data

from analysis.columns import numbers, require_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["partial_average"]


@data(1)
def partial_average(table: pd.DataFrame, column: str) -> dict:
    """This hospital's part of an average: {count, missing, sum}."""
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded))
    return {"count": len(recorded), "missing": len(table) - len(recorded), "sum": math.fsum(recorded)}
