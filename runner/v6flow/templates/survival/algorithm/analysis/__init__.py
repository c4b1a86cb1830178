"""A hospital's table of deaths and departures over time: the methods that a task can call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import DataError, UserInputError

from analysis.columns import numbers, require, require_rows, zeros_and_ones

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["partial_events"]

MOST_PERIODS = 1000


@data(1)
def partial_events(
    table: pd.DataFrame, time: str, event: str, group: str, groups: list[str], period: int, horizon: int
) -> dict:
    """The numbers of each group with the event, and lost without it, in each period up to the horizon.

    Returns {count, dropped, groups: {group: {events: [...], left: [...]}}}. A time of 0 < t ≤ `period` is in the first
    period; who is followed beyond the horizon leaves in the last one.
    """
    last = _periods(period, horizon)
    if not isinstance(groups, list) or not groups or not all(isinstance(each, str) for each in groups):
        raise UserInputError(f"'groups' must be a list of texts, not {groups!r}.")
    require(table, [group])
    rows = numbers(table, [time]).assign(event=zeros_and_ones(table, event), group=table[group]).dropna()
    require_rows(len(rows))
    if (rows[time] < 0).any():
        raise DataError(f"Column {time!r} holds a negative time here.")
    names = rows["group"].astype(str)
    if not names.isin(groups).all():
        raise DataError(f"Column {group!r} holds another group than {', '.join(groups)} here.")
    index = (-(-rows[time] // period) - 1).clip(lower=0).astype("int64")
    happened = (rows["event"] == 1) & (index < last)
    index = index.clip(upper=last - 1)
    counted: dict[str, dict[str, list[int]]] = {}
    for name in groups:
        chosen = names == name
        counted[name] = {
            "events": [int((index[chosen & happened] == k).sum()) for k in range(last)],
            "left": [int((index[chosen & ~happened] == k).sum()) for k in range(last)],
        }
    return {"count": len(rows), "dropped": len(table) - len(rows), "groups": counted}


def _periods(period: object, horizon: object) -> int:
    for name, value in (("period", period), ("horizon", horizon)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserInputError(f"{name!r} must be a whole number from 1, not {value!r}.")
    assert isinstance(period, int)  # just checked
    assert isinstance(horizon, int)
    if horizon % period or horizon // period > MOST_PERIODS:
        raise UserInputError(f"'horizon' must be some periods long, at most {MOST_PERIODS}.")
    return horizon // period
