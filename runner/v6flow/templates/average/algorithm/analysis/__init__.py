"""A hospital's part of an average: what a task may name as its method."""

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
    """What this hospital adds to an average: {count, missing, sum}."""
    recorded = numbers(table, [column])[column].dropna()
    require_rows(len(recorded))
    return {"count": len(recorded), "missing": len(table) - len(recorded), "sum": math.fsum(recorded)}
