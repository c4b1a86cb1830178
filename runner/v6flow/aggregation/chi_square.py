"""The tail of a chi-square distribution."""

from __future__ import annotations

import math


def tail(x: float, df: int) -> float:
    """P(X ≥ x), as `chi_square_tail` describes it."""
    if x <= 0:
        return 1.0
    if df == 0:
        return 0.0
    y = x / 2
    first = 0.5 if df % 2 else 0.0
    terms = [math.erfc(math.sqrt(y))] if df % 2 else []
    terms += [_poisson(first + step, y) for step in range(df // 2)]
    return min(1.0, math.fsum(terms))


def _poisson(j: float, y: float) -> float:
    """e^-y yʲ/Γ(j+1), by Loader's saddle-point form where the plain one would lose digits.

    Source: Loader (2000), Fast and accurate computation of binomial probabilities, equations 3 to 6.
    """
    if j < 15:  # the exponents are small enough for the plain form, and Stirling's series is not yet exact
        if y > 1e4:  # e^-y is 0, and yʲ might overflow
            return 0.0
        return math.exp(-y / 2) * (math.pow(y, j) / math.gamma(j + 1)) * math.exp(-y / 2)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188) / j**2) / j**2) / j**2) / j**2) / j
    return math.exp(-series - _deviance(j, y)) / math.sqrt(2 * math.pi * j)


def _deviance(j: float, y: float) -> float:
    """j·ln(j/y) + y − j, without cancellation where y is near j."""
    if abs(j - y) >= 0.1 * (j + y):
        return j * math.log(j / y) + y - j
    ratio = (j - y) / (j + y)
    total, term, power = (j - y) * ratio, 2 * j * ratio, 1
    while True:
        term *= ratio * ratio
        power += 2
        following = total + term / power
        if following == total:
            return total
        total = following
