"""The variance of all records, from what is known of the records of each organization."""

from __future__ import annotations

import math

from v6flow.aggregation.partials import rounded_once, show, total_of

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost
if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from typing import Any


def combine(moments: Sequence[tuple[int, float, float]], count: str, ddof: int) -> dict[str, Any]:
    """Chan, Golub and LeVeque's formula over (count, mean, squared deviations)."""
    total = total_of([number for number, _, _ in moments], count)
    mean = rounded_once((number * mean for number, mean, _ in moments), "the sum of the values") / total
    between = (number * (own - mean) * (own - mean) for number, own, _ in moments)
    within = (deviations for _, _, deviations in moments)
    return variance_report(rounded_once([*within, *between], "the sum of the squared deviations"), mean, total, ddof)


def variance_report(deviations: float, mean: float, number: int, ddof: int) -> dict[str, Any]:
    """The figures of a variance of `number` records from their squared deviations."""
    check_ddof(ddof, "ddof")
    if number <= ddof:
        raise ValueError(f"there are {number} records, too few to divide by their number less {ddof}")
    variance = deviations / (number - ddof)
    return {
        "variance": variance,
        "standard_deviation": math.sqrt(variance),
        "mean": mean,
        "squared_deviations": deviations,
        "count": number,
        "ddof": ddof,
    }


def check_ddof(ddof: Any, name: str) -> None:
    """Refuse what is no whole number from 0 up, with ValueError."""
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise ValueError(f"{name} is {show(ddof)}, it must be a whole number from 0 up (1: sample, 0: population)")


def exact_sum(values: Sequence[float], fraction: type[Fraction]) -> Fraction:
    """The sum, not rounded."""
    return sum((fraction(value) for value in values), fraction(0))


def as_float(value: Fraction) -> float:
    """The nearest float. Raises ValueError where it overflows."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError("the sums are too large for a floating-point number") from None
