"""A vantage6 v4 algorithm that does next to nothing, so that what is timed is the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.util import info

if TYPE_CHECKING:
    import pandas as pd


@data(1)
def partial_sum(table: pd.DataFrame, column: str, offset: int) -> dict[str, int]:
    """The sum of a column of whole numbers plus an offset, and how many there are."""
    info(f"summing {column}")
    return {"sum": int(table[column].sum()) + offset, "count": len(table)}
