"""An inverse-variance weighted mean of studies, and what is reported of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from v6flow.aggregation.chi_square import tail
from v6flow.aggregation.partials import finite, number_at, places, rounded_once

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from v6flow.aggregation.partials import Partials


class Fit:
    """An inverse-variance weighted mean and how far the studies are from it."""

    __slots__ = ("df", "estimate", "q", "weight", "weights")

    def __init__(self, values: Sequence[float], weights: list[float]) -> None:
        self.weights = weights
        self.weight = rounded_once(weights, "the sum of the weights")
        weighted = (weight * value for weight, value in zip(weights, values, strict=True))
        self.estimate = rounded_once(weighted, "the weighted sum of the estimates") / self.weight
        squares = (
            weight * (value - self.estimate) * (value - self.estimate)
            for weight, value in zip(weights, values, strict=True)
        )
        self.q = rounded_once(squares, "Q")
        self.df = len(values) - 1


def inverse_variance(values: Sequence[float], variances: Sequence[float]) -> Fit:
    """The fit of values weighted by the inverse of their variances. Raises ValueError where a weight overflows."""
    if min(variances) == 0 or math.isinf(1 / min(variances)) or math.isinf(max(variances)):
        raise ValueError("the standard errors are too small or too large to weigh the studies by them")
    return Fit(values, [1 / variance for variance in variances])


def read_studies(
    studies: Partials, estimate: str, standard_error: str
) -> tuple[list[str] | None, list[float], list[float]]:
    """The studies' names, estimates and standard errors; names are None for a list."""
    values, errors = [], []
    for place, study in places(studies):
        values.append(number_at(place, study, estimate))
        errors.append(number_at(place, study, standard_error, least=0.0))
        if errors[-1] == 0:
            raise ValueError(f"{place}: {standard_error} is 0, it must be above zero")
    return (list(studies) if isinstance(studies, Mapping) else None), values, errors


def report(
    fit: Fit, names: list[str] | None, level: float, *, q: float, i2: float, h2: float, tau2: float
) -> dict[str, Any]:
    """The figures of a meta-analysis; the arguments are those of its result."""
    from statistics import NormalDist

    if not 0 < finite("level", level) < 1:
        raise ValueError(f"level is {level!r}, it must be between 0 and 1 (0.95 for 95 %)")
    error = fit.weight**-0.5
    reach = -NormalDist().inv_cdf((1 - level) / 2) * error
    z = fit.estimate / error
    shares = [100.0 * weight / fit.weight for weight in fit.weights]
    return {
        "estimate": fit.estimate,
        "standard_error": error,
        "ci": [fit.estimate - reach, fit.estimate + reach],
        "level": level,
        "z": z,
        "p": math.erfc(abs(z) / math.sqrt(2)),
        "k": len(fit.weights),
        "Q": q,
        "df": fit.df,
        "Q_p": tail(q, fit.df),
        "I2": i2,
        "H2": h2,
        "tau2": tau2,
        "weights": shares if names is None else dict(zip(names, shares, strict=True)),
    }
