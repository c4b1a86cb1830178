"""Survival curves and the log-rank test from tables of events; runs on the machine of v6flow."""

from __future__ import annotations

import math

from v6flow import aggregation


def kaplan_meier(table: dict, period: int) -> dict:
    """The curve of each group: {group: {time, at_risk, events, survival, standard_error}}, a value for each period.

    Who leaves in a period was at risk until its end. Standard errors are Greenwood's; null once nobody survives.
    """
    return {name: _curve(each["events"], each["left"], period) for name, each in table.items()}


def log_rank(table: dict) -> dict:
    """The log-rank test of two groups: {chi_square, p, observed, expected}."""
    if len(table) != 2:
        raise ValueError(f"the log-rank test compares two groups, and there are {len(table)}")
    first, second = table.values()
    at_risk = [_at_risk(each["events"], each["left"]) for each in (first, second)]
    expected, variance = [], []
    for here, there, events_here, events_there in zip(*at_risk, first["events"], second["events"], strict=True):
        everybody, events = here + there, events_here + events_there
        if not events:
            continue
        expected.append(events * here / everybody)
        if everybody > 1:
            share = here * there / everybody**2
            variance.append(events * share * (everybody - events) / (everybody - 1))
    spread = math.fsum(variance)
    if not spread:
        raise ValueError("nothing can be compared: there is no event while both groups are at risk")
    observed, total = sum(first["events"]), sum(first["events"]) + sum(second["events"])
    chi_square = (observed - math.fsum(expected)) ** 2 / spread
    names = list(table)
    return {
        "chi_square": chi_square,
        "p": aggregation.chi_square_tail(chi_square, 1),
        "observed": dict(zip(names, [observed, total - observed], strict=True)),
        "expected": dict(zip(names, [math.fsum(expected), total - math.fsum(expected)], strict=True)),
    }


def _at_risk(events: list[int], left: list[int]) -> list[int]:
    """The number at risk at the start of each period."""
    remaining, found = sum(events) + sum(left), []
    for gone in zip(events, left, strict=True):
        found.append(remaining)
        remaining -= sum(gone)
    return found


def _curve(events: list[int], left: list[int], period: int) -> dict:
    at_risk = _at_risk(events, left)
    survival, greenwood, curve, errors = 1.0, 0.0, [], []
    for there, lost in zip(at_risk, events, strict=True):
        if lost:
            survival *= (there - lost) / there
            greenwood = greenwood + lost / (there * (there - lost)) if there > lost else math.inf
        curve.append(survival)
        errors.append(survival * math.sqrt(greenwood) if greenwood < math.inf else None)
    return {
        "time": [period * (k + 1) for k in range(len(events))],
        "at_risk": at_risk,
        "events": events,
        "survival": curve,
        "standard_error": errors,
    }
