"""Computations of the examples on the hospitals' sums: Newton steps, survival curves, the log-rank test.

Plain Python: nothing need be installed where v6flow runs.
"""

from __future__ import annotations

import math
from typing import Any

from v6flow.aggregation import chi_square_tail


def newton_step(coefficients: list[float] | None, partials: list[dict[str, Any]]) -> dict[str, Any]:
    """One Newton step from these coefficients, or from 0, by the derivatives of all hospitals.

    Returns {coefficients, standard_errors, change, log_likelihood}: the new ones; the errors and the likelihood are
    those at the old ones, which are the same once the change is nothing. `change` is the largest of any coefficient.
    """
    gradient = _total([part["gradient"] for part in partials])
    information = _total([part["information"] for part in partials])
    before = coefficients or [0.0 for _ in gradient]
    inverse = _inverse(information)
    step = [math.fsum(a * b for a, b in zip(row, gradient, strict=True)) for row in inverse]
    return {
        "coefficients": [old + by for old, by in zip(before, step, strict=True)],
        "standard_errors": [math.sqrt(inverse[place][place]) for place in range(len(inverse))],
        "change": max(abs(by) for by in step),
        "log_likelihood": math.fsum(part["log_likelihood"] for part in partials),
    }


def cox_derivatives(partials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The derivatives of the partial likelihood (Breslow's, for ties), as `newton_step` takes them.

    They are of all hospitals together: whom one of them follows is at risk beside those of the others.
    """
    events, risk, means, squares = (
        _total([part[key] for part in partials]) for key in ("events", "risk", "risk_x", "risk_xx")
    )
    gradient = _total([part["covariates"] for part in partials])
    size = range(len(gradient))
    information = [[0.0 for _ in size] for _ in size]
    likelihood = math.fsum(part["linear"] for part in partials)
    for count, weight, first, second in zip(events, risk, means, squares, strict=True):
        if not count:  # who had the event then lacks a predictor; nobody else need be left, and 0 has no logarithm
            continue
        likelihood -= count * math.log(weight)
        mean = [each / weight for each in first]
        for i in size:
            gradient[i] -= count * mean[i]
            for j in size:
                information[i][j] += count * (second[i][j] / weight - mean[i] * mean[j])
    return [{"gradient": gradient, "information": information, "log_likelihood": likelihood}]


def all_times(partials: list[dict[str, Any]]) -> list[float]:
    """The times at which there was an event anywhere, in order."""
    return sorted({time for part in partials for time in part["times"]})


def kaplan_meier(tables: list[dict[str, Any]], times: list[float]) -> dict[str, Any]:
    """The survival curve of each group, by Kaplan and Meier, with Greenwood's standard errors.

    Returns {group: {count, events, median, survival, standard_errors}}; `median` is the first time at which at most
    half are left, null if there is none. The lists have a number for each time.
    """
    found = {}
    for group, (count, at_risk, events) in _groups(tables).items():
        left, spread = 1.0, 0.0
        survival, errors = [], []
        for followed, happened in zip(at_risk, events, strict=True):
            if happened:
                left *= 1 - happened / followed
                spread += happened / (followed * (followed - happened)) if followed > happened else 0.0
            survival.append(left)
            errors.append(left * math.sqrt(spread))
        half = 0.5 + 1e-12  # of 24 of whom 12 are left, the product is 0.5000000000000001
        median = next((time for time, each in zip(times, survival, strict=True) if each <= half), None)
        found[group] = {
            "count": count,
            "events": sum(events),
            "median": median,
            "survival": survival,
            "standard_errors": errors,
        }
    return found


def log_rank(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether groups differ: {chi_square, degrees_of_freedom, p_value, observed, expected}, the last two by group."""
    groups = _groups(tables)
    names = list(groups)
    if len(names) < 2:
        raise ValueError(f"the log-rank test compares groups, and there is {' '.join(names) or 'none'} alone")
    at_risk = [groups[name][1] for name in names]
    events = [groups[name][2] for name in names]
    size = range(len(names))
    observed = [float(sum(each)) for each in events]
    expected = [0.0 for _ in size]
    covariance = [[0.0 for _ in size] for _ in size]
    for place in range(len(at_risk[0])):
        n = [each[place] for each in at_risk]
        total, happened = sum(n), sum(each[place] for each in events)
        if total == 0:
            continue
        for i in size:
            expected[i] += happened * n[i] / total
            if total > 1:
                scale = happened * (total - happened) / (total - 1)
                for j in size:
                    covariance[i][j] += scale * n[i] / total * ((i == j) - n[j] / total)
    difference = [a - b for a, b in zip(observed, expected, strict=True)][:-1]  # they add up to nothing
    inverse = _inverse([row[:-1] for row in covariance[:-1]])
    chi_square = math.fsum(
        difference[i] * inverse[i][j] * difference[j] for i in range(len(inverse)) for j in range(len(inverse))
    )
    freedom = len(names) - 1
    return {
        "chi_square": chi_square,
        "degrees_of_freedom": freedom,
        "p_value": chi_square_tail(chi_square, freedom),
        "observed": dict(zip(names, observed, strict=True)),
        "expected": dict(zip(names, expected, strict=True)),
    }


def new_centers(centers: list[list[float]], partials: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of all rows of each centre, and how far they moved: {centers, counts, moved, within}.

    A centre that nobody is near stays where it was.
    """
    counts = _total([part["counts"] for part in partials])
    sums = _total([part["sums"] for part in partials])
    found = [
        [each / count for each in total] if count else old
        for old, count, total in zip(centers, counts, sums, strict=True)
    ]
    moved = max(math.dist(old, new) for old, new in zip(centers, found, strict=True))
    within = math.fsum(part["within"] for part in partials)
    return {"centers": found, "counts": counts, "moved": moved, "within": within}


def _groups(tables: list[dict[str, Any]]) -> dict[str, tuple[int, list[int], list[int]]]:
    """Of each group of any hospital: how many there are, and at each time at risk and with the event."""
    names = sorted({name for table in tables for name in table})
    return {
        name: (
            sum(table[name]["count"] for table in tables if name in table),
            _total([table[name]["at_risk"] for table in tables if name in table]),
            _total([table[name]["events"] for table in tables if name in table]),
        )
        for name in names
    }


def _total(parts: list[Any]) -> Any:
    """The sum of numbers, or of lists of them place by place."""
    if isinstance(parts[0], list):
        return [_total(list(each)) for each in zip(*parts, strict=True)]
    return sum(parts) if all(isinstance(each, int) for each in parts) else math.fsum(parts)


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """The inverse of a matrix, by elimination with the largest pivot. Raises ValueError if there is none."""
    size = len(matrix)
    rows = [[*map(float, row), *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    scale = max(abs(each) for row in matrix for each in row)
    for place in range(size):
        pivot = max(range(place, size), key=lambda row: abs(rows[row][place]))
        if abs(rows[pivot][place]) <= 1e-14 * scale:
            raise ValueError("the information has no inverse: a predictor is constant, or a combination of others")
        rows[place], rows[pivot] = rows[pivot], rows[place]
        rows[place] = [each / rows[place][place] for each in rows[place]]
        for row in range(size):
            if row != place and rows[row][place]:
                by = rows[row][place]
                rows[row] = [each - by * other for each, other in zip(rows[row], rows[place], strict=True)]
    return [row[size:] for row in rows]
