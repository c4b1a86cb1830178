"""The functions that tell who is still followed, and how many had an event when.

As in `partial`, each answers only about MINIMUM_ROWS rows or more, and never with NaN or an infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from vantage6.algorithm.tools.decorators import data
from vantage6.algorithm.tools.exceptions import DataError, UserInputError

from hospital_stats.columns import names, numbers, require_rows, vector

if TYPE_CHECKING:
    import pandas as pd


@data(1)
def event_times(table: pd.DataFrame, time: str, event: str) -> dict:
    """When there were events here: {count, missing, times}, the times in order and each once.

    They should be rounded, to months say: a time by itself tells when somebody had an event.
    """
    recorded = _followed(table, time, event, [])
    moments = recorded.loc[recorded[event] == 1, time]
    return {"count": len(recorded), "missing": len(table) - len(recorded), "times": sorted(set(moments.tolist()))}


@data(1)
def event_table(table: pd.DataFrame, time: str, event: str, group: str, times: list[float]) -> dict:
    """How many were followed up to each of these times, and had the event at it, in each group.

    Returns {group: {count, at_risk, events}}, a number for each time; the groups are named by their values, 1.0 as 1.
    """
    moments = vector(times, None, "times")
    if not isinstance(group, str) or group not in table.columns:
        raise UserInputError(f"There is no column {group!r} here.")
    known = table[table[group].notna()]
    recorded = _followed(known, time, event, [])
    labels = known.loc[recorded.index, group]
    found = {}
    for label in sorted(labels.unique()):
        rows = recorded[labels == label]
        require_rows(len(rows), f"Rows with {group} {_name(label)!r}")
        until, happened = rows[time].to_numpy(), rows[event].to_numpy()
        found[_name(label)] = {
            "count": len(rows),
            "at_risk": (until[None, :] >= moments[:, None]).sum(axis=1).tolist(),
            "events": ((until[None, :] == moments[:, None]) & (happened == 1)[None, :]).sum(axis=1).tolist(),
        }
    return found


@data(1)
def cox_sums(
    table: pd.DataFrame,
    time: str,
    event: str,
    predictors: list[str],
    coefficients: list[float] | None,
    times: list[float],
) -> dict:
    """What this hospital adds to one of Newton's steps of a Cox regression, at these coefficients (Breslow).

    Without coefficients all are 0. Returns {n, dropped, events, covariates, linear, risk, risk_x, risk_xx}: how many
    had the event at each time, the sums of their covariates and of their linear predictors, and over those still
    followed at each time the sums of the risk, of it times the covariates, and of it times their products.
    """
    predictors = names(predictors, "predictors")
    moments = vector(times, None, "times")
    beta = np.zeros(len(predictors)) if coefficients is None else vector(coefficients, len(predictors), "coefficients")
    complete = _followed(table, time, event, predictors)
    design, until = complete[predictors].to_numpy(), complete[time].to_numpy()
    happened = complete[event].to_numpy() == 1
    linear = design @ beta
    if not (np.abs(linear) < 500).all():
        raise DataError("With these coefficients the risks are beyond all numbers: the fit does not converge.")
    risk = np.exp(linear)
    followed = (until[None, :] >= moments[:, None]) * risk[None, :]
    at = (until[None, :] == moments[:, None]) & happened[None, :]
    return {
        "n": len(complete),
        "dropped": len(table) - len(complete),
        "events": at.sum(axis=1).tolist(),
        "covariates": design[happened].sum(axis=0).tolist(),
        "linear": math.fsum(linear[happened]),
        "risk": followed.sum(axis=1).tolist(),
        "risk_x": (followed @ design).tolist(),
        "risk_xx": np.einsum("tp,pi,pj->tij", followed, design, design).tolist(),
    }


def _name(label: object) -> str:
    """A group's name, the same at all hospitals: a column of whole numbers that lacks one comes as floats."""
    return str(int(label)) if isinstance(label, (float, np.floating)) and label.is_integer() else str(label)


def _followed(table: pd.DataFrame, time: str, event: str, others: list[str]) -> pd.DataFrame:
    """The rows with a time, an event of 1 or 0, and the others."""
    complete = numbers(table, list(dict.fromkeys([time, event, *others]))).dropna()
    require_rows(len(complete), "Complete rows")
    if not complete[event].isin((0.0, 1.0)).all():
        raise DataError(f"The event {event!r} holds other values than 0 and 1 here.")
    return complete
