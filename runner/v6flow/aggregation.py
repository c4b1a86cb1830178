"""Built-in aggregations: exact, checked ways to combine what organizations returned, for `local.function`.

Each takes what a task step offers: a list of mappings (`{{ steps.x.results }}`) or a mapping from
organization to mapping (`{{ steps.x.by_organization }}`), whose keys can be named where an algorithm calls
them otherwise. Each returns plain JSON. None of them guesses: a value that is missing, text, a boolean, not
finite or impossible raises ValueError that names the partial (by its place from 0, or its organization) and
what is wrong with it. Sums are rounded once (`math.fsum`). Nothing but the standard library is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost of this module
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction
    from typing import Any, TypeAlias

Partials: TypeAlias = "Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]"
"""What organizations returned, in the order asked or by organization."""

_MAX_COUNT = 2**53  # above it a float no longer holds every whole number
_LEAST_LEFT = 1e-10  # a difference that is a smaller part of its terms has lost ten of sixteen digits


# ---------------------------------------------------------------------------------------- means and variances


def pooled_mean(
    partials: Partials,
    *,
    count: str = "count",
    sum: str = "sum",  # noqa: A002  the key's name
) -> dict[str, Any]:
    """The mean of all records, from each organization's count and sum: Σ sumᵢ / Σ countᵢ.

    `count` and `sum` name the keys. Returns `mean` and `sum` (in the column's unit) and `count`. Raises
    ValueError for a count that is no whole number from 0 up, a sum that is no finite number or not zero where
    the count is, and a total count of zero.
    """
    counts, sums = [], []
    for place, partial in _places(partials):
        counts.append(_count(place, partial, count))
        sums.append(_number(place, partial, sum))
        if counts[-1] == 0 and sums[-1] != 0:
            raise ValueError(f"{place}: {sum} is {sums[-1]!r} although {count} is 0")
    number, total = _total(counts, count), _sum(sums, f"the sum of {sum}")
    return {"mean": total / number, "count": number, "sum": total}


def pooled_variance(
    partials: Partials,
    *,
    count: str = "count",
    mean: str = "mean",
    squared_deviations: str = "squared_deviations",
    ddof: int = 1,
) -> dict[str, Any]:
    """The variance of all records together, from each organization's count, mean, and squared deviations.

    `squared_deviations` is Σ (x − meanᵢ)² over organization i's own records, about its own mean, not divided
    by anything. Then SS = Σ ssᵢ + Σ nᵢ (meanᵢ − mean)² and variance = SS / (N − ddof); ddof 1 is the sample
    variance, 0 the population's. It equals the variance of the concatenated data: differences between
    organizations count. (It is not the "pooled variance" of a t-test, which leaves them out.)

    Source: Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, The American
    Statistician 37(3), 242-247, equations 2.1, for any number of parts. No digits cancel.

    `count`, `mean`, `squared_deviations` name the keys; where the count is 0 the mean may be null or missing.
    Returns `variance` (unit squared), `standard_deviation`, `mean`, `squared_deviations` (SS), `count`,
    `ddof`. Raises ValueError for impossible partials (negative squared deviations, or not zero with fewer
    than two records) and where N − ddof is not above zero.
    """
    moments = []
    for place, partial in _places(partials):
        number = _count(place, partial, count)
        deviations = _number(place, partial, squared_deviations, least=0.0)
        if number < 2 and deviations != 0:
            raise ValueError(f"{place}: {squared_deviations} is {deviations!r} although {count} is {number}")
        moments.append((number, _mean_of(place, partial, mean, number), deviations))
    return _combine(moments, count, ddof)


def pooled_variance_from_variances(
    partials: Partials,
    *,
    count: str = "count",
    mean: str = "mean",
    variance: str = "variance",
    variance_ddof: int = 1,
    ddof: int = 1,
) -> dict[str, Any]:
    """The variance of all records together, from each organization's count, mean and variance.

    As `pooled_variance`, with ssᵢ = varianceᵢ · (nᵢ − variance_ddof): `variance_ddof` says how the
    organizations divided (1: sample variance, as pandas and R do; 0: numpy's default), `ddof` how to divide
    here. Where nᵢ ≤ variance_ddof the variance is undefined and may be null or missing. Returns and raises as
    `pooled_variance`.
    """
    _check_ddof(variance_ddof, "variance_ddof")
    moments = []
    for place, partial in _places(partials):
        number = _count(place, partial, count)
        deviations = 0.0
        if number > variance_ddof:
            deviations = _number(place, partial, variance, least=0.0) * (number - variance_ddof)
        elif partial.get(variance) not in (None, 0):
            raise ValueError(f"{place}: {variance} is {_show(partial[variance])} although {count} is {number}")
        moments.append((number, _mean_of(place, partial, mean, number), deviations))
    return _combine(moments, count, ddof)


def pooled_variance_from_sums(
    partials: Partials,
    *,
    count: str = "count",
    sum: str = "sum",  # noqa: A002  the key's name
    sum_of_squares: str = "sum_of_squares",
    ddof: int = 1,
) -> dict[str, Any]:
    """The variance of all records together, from each organization's count, sum, and raw sum of squares.

    `sum_of_squares` is Σ x² of the values themselves, about zero. SS = Σ x² − (Σ x)² / N, variance = SS / (N
    − ddof). The difference is computed in exact rational arithmetic, so nothing is lost here; but each
    organization has rounded its sums, and the subtraction multiplies that error by Σx² / SS. Whole numbers
    are exact. With floats, where less than 1e-10 of Σx² is left (fewer than about six digits of the
    variance), ValueError says so instead of returning noise: then send means and squared deviations to
    `pooled_variance`. A column that is constant and not whole is such a case.

    Returns and raises as `pooled_variance`; also for a partial whose sum of squares is too small for its sum
    (n · Σx² ≥ (Σx)² always holds).
    """
    from fractions import Fraction  # costs 3 ms, which the others need not pay

    counts: list[int] = []
    sums: list[float] = []
    squares: list[float] = []
    for place, partial in _places(partials):
        number = _count(place, partial, count)
        total, square = _number(place, partial, sum), _number(place, partial, sum_of_squares, least=0.0)
        if number == 0 and (total != 0 or square != 0):
            raise ValueError(f"{place}: {sum} or {sum_of_squares} is not 0 although {count} is 0")
        # 1e-9: what an organization may have lost to rounding, not what a wrong key would show
        if Fraction(total) ** 2 > Fraction(square) * number * Fraction(1 + 1e-9):
            raise ValueError(
                f"{place}: {sum_of_squares} {square!r} is too small for {sum} {total!r} and {count} {number}"
            )
        counts.append(number)
        sums.append(total)
        squares.append(square)
    number = _total(counts, count)
    grand, squared = _exact(sums, Fraction), _exact(squares, Fraction)
    deviations = squared - grand**2 / number
    whole = all(isinstance(item, int) for item in (*sums, *squares))
    if deviations < 0 or (not whole and deviations < squared * Fraction(_LEAST_LEFT)):
        raise ValueError(
            f"the variance is lost to rounding: the sums of squares are {_float(squared):.3g} together, "
            f"and all but {_float(deviations):.3g} cancels; let organizations return means and "
            "squared deviations instead (pooled_variance)"
        )
    return _variance(_float(deviations), _float(grand / number), number, ddof)


def variance_about_mean(
    partials: Partials,
    *,
    mean: float,
    count: str = "count",
    squared_deviations: str = "squared_deviations",
    ddof: int = 1,
) -> dict[str, Any]:
    """The variance of all records together, from a second pass: squared deviations from one mean for all.

    `squared_deviations` is Σ (x − mean)² over organization i's records about the mean that all were sent,
    which must be the mean of exactly the organizations that answer here (v6flow compares the cohorts).
    variance = Σ ssᵢ / (N − ddof). Source: the two-pass algorithm, Chan, Golub & LeVeque (1983), equation 1.1.
    Returns and raises as `pooled_variance`.
    """
    centre = _finite("mean", mean)
    counts, deviations = [], []
    for place, partial in _places(partials):
        counts.append(_count(place, partial, count))
        deviations.append(_number(place, partial, squared_deviations, least=0.0))
        if counts[-1] == 0 and deviations[-1] != 0:
            raise ValueError(f"{place}: {squared_deviations} is {deviations[-1]!r} although {count} is 0")
    return _variance(_sum(deviations, f"the sum of {squared_deviations}"), centre, _total(counts, count), ddof)


def weighted_mean(partials: Partials, *, value: str = "value", weight: str = "weight") -> dict[str, Any]:
    """The weighted mean Σ wᵢ vᵢ / Σ wᵢ.

    `value` and `weight` name the keys; weights are finite numbers from 0 up, in any common unit. Returns
    `mean` (in the value's unit) and `weight`, the sum of the weights. Raises ValueError if all weights are
    zero.
    """
    values, weights = [], []
    for place, partial in _places(partials):
        values.append(_number(place, partial, value))
        weights.append(_number(place, partial, weight, least=0.0))
    total = _sum(weights, f"the sum of {weight}")
    if total == 0:
        raise ValueError(f"every {weight} is zero: a mean over nothing")
    products = (one * by for one, by in zip(values, weights, strict=True))
    return {"mean": _sum(products, "the weighted sum") / total, "weight": total}


# ------------------------------------------------------------------------------------------ counts and tables


def total_count(partials: Partials, *, count: str = "count") -> dict[str, Any]:
    """The sum of counts: `{"count": Σ countᵢ}`, a whole number; zero is a count.

    `count` names the key. Raises ValueError for what is no whole number from 0 up.
    """
    total = sum(_count(place, partial, count) for place, partial in _places(partials))
    return {"count": total}


def sum_tables(partials: Partials, *, table: str | None = None) -> Any:
    """Tables of counts added cell by cell: nested mappings and lists of whole numbers from 0 up.

    `table` names the key under which each partial has its table; without it the partial is the table. A key
    that an organization does not have counts 0 there; keys come in the order in which they are first seen.
    Lists are added place by place. Returns one table of the same shape. Raises ValueError, naming partial and
    cell, for a mapping beside a list or a number, lists of different lengths, and a leaf that is no count
    (null and text too: a suppressed cell is not a zero).
    """
    tables = []
    for place, partial in _places(partials, mappings=table is not None):
        tables.append((place, partial) if table is None else (f"{place}.{table}", _get(place, partial, table)))
    return _fold(tables, _add_counts)


# ---------------------------------------------------------------------------------------------- meta-analysis


def fixed_effect(
    studies: Partials,
    *,
    estimate: str = "estimate",
    standard_error: str = "standard_error",
    level: float = 0.95,
) -> dict[str, Any]:
    """Fixed-effect (common-effect) meta-analysis by inverse variances.

    wᵢ = 1/seᵢ²; estimate = Σ wᵢ yᵢ / Σ wᵢ; standard_error = (Σ wᵢ)^-½; Cochran's Q = Σ wᵢ (yᵢ − estimate)².
    Source: Borenstein, Hedges, Higgins & Rothstein (2009), Introduction to Meta-Analysis, chapters 11 and 16;
    Higgins & Thompson (2002), Statistics in Medicine 21, 1539-1558, for I² and H². Numbers agree with R's
    metafor, `rma(method="FE")`.

    `estimate` and `standard_error` name the keys (estimates on a scale where normality is sensible: log odds
    ratios, not odds ratios); `level` is that of the confidence interval, between 0 and 1.

    Returns `estimate, standard_error, ci` ([lower, upper], normal), `level, z, p` (two-sided), `k` (studies),
    `Q, df, Q_p` (χ² upper tail), `I2` (percent, 100·max(0, (Q−df)/Q)), `H2` (Q/df), `tau2` (0) and `weights`
    (percent; a list in the order given, or by organization). With one study Q = 0, Q_p = 1, I2 = 0, H2 = 1.
    Raises ValueError for a standard error that is not above zero, and for numbers so far apart that a weight
    overflows.
    """
    names, values, errors = _studies(studies, estimate, standard_error)
    fit = _inverse_variance(values, [error * error for error in errors])
    excess = fit.q - fit.df
    i2 = 100.0 * max(0.0, excess / fit.q) if fit.q > 0 else 0.0
    h2 = fit.q / fit.df if fit.df else 1.0
    return _report(fit, names, level, q=fit.q, i2=i2, h2=h2, tau2=0.0)


def random_effects(
    studies: Partials,
    *,
    estimate: str = "estimate",
    standard_error: str = "standard_error",
    level: float = 0.95,
) -> dict[str, Any]:
    """Random-effects meta-analysis with DerSimonian and Laird's estimate of the variance between studies.

    With the fixed effect's wᵢ and Q: C = Σ wᵢ − Σ wᵢ² / Σ wᵢ; tau2 = max(0, (Q − df) / C); then weights
    1/(seᵢ² + tau2). Source: DerSimonian & Laird (1986), Controlled Clinical Trials 7, 177-188. Numbers agree
    with R's metafor, `rma(method="DL")`: H2 = tau2·C/df + 1, I2 = 100·(H2 − 1)/H2. The interval is the normal
    one (not Hartung-Knapp's), which is too narrow with few studies.

    Arguments, result and errors as in `fixed_effect`; `tau2` is in the estimate's unit squared. Raises
    ValueError for fewer than two studies too: one says nothing about the variance between studies.
    """
    names, values, errors = _studies(studies, estimate, standard_error)
    if len(values) < 2:
        raise ValueError("a random-effects meta-analysis needs at least two studies, there is one; see fixed_effect")
    variances = [error * error for error in errors]
    fixed = _inverse_variance(values, variances)
    spread = math.fsum(weight * (1 - weight / fixed.weight) for weight in fixed.weights)
    if not spread > 0:
        raise ValueError("one study outweighs all others so far that the variance between studies cannot be computed")
    tau2 = max(0.0, (fixed.q - fixed.df) / spread)
    h2 = tau2 * spread / fixed.df + 1.0
    fit = _inverse_variance(values, [variance + tau2 for variance in variances])
    return _report(fit, names, level, q=fixed.q, i2=100.0 * (h2 - 1.0) / h2, h2=h2, tau2=tau2)


class _Fit:
    """An inverse-variance weighted mean and how far the studies are from it."""

    __slots__ = ("df", "estimate", "q", "weight", "weights")

    def __init__(self, values: Sequence[float], weights: list[float]) -> None:
        self.weights = weights
        self.weight = _sum(weights, "the sum of the weights")
        weighted = (weight * value for weight, value in zip(weights, values, strict=True))
        self.estimate = _sum(weighted, "the weighted sum of the estimates") / self.weight
        squares = (
            weight * (value - self.estimate) * (value - self.estimate)
            for weight, value in zip(weights, values, strict=True)
        )
        self.q = _sum(squares, "Q")
        self.df = len(values) - 1


def _inverse_variance(values: Sequence[float], variances: Sequence[float]) -> _Fit:
    if min(variances) == 0 or math.isinf(1 / min(variances)) or math.isinf(max(variances)):
        raise ValueError("the standard errors are too small or too large to weigh the studies by them")
    return _Fit(values, [1 / variance for variance in variances])


def _studies(
    studies: Partials, estimate: str, standard_error: str
) -> tuple[list[str] | None, list[float], list[float]]:
    values, errors = [], []
    for place, study in _places(studies):
        values.append(_number(place, study, estimate))
        errors.append(_number(place, study, standard_error, least=0.0))
        if errors[-1] == 0:
            raise ValueError(f"{place}: {standard_error} is 0, it must be above zero")
    return (list(studies) if isinstance(studies, Mapping) else None), values, errors


def _report(
    fit: _Fit, names: list[str] | None, level: float, *, q: float, i2: float, h2: float, tau2: float
) -> dict[str, Any]:
    from statistics import NormalDist

    if not 0 < _finite("level", level) < 1:
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
        "Q_p": chi_square_tail(q, fit.df),
        "I2": i2,
        "H2": h2,
        "tau2": tau2,
        "weights": shares if names is None else dict(zip(names, shares, strict=True)),
    }


def chi_square_tail(x: float, df: int) -> float:
    """P(X ≥ x) for X chi-square with `df` degrees of freedom, Γ(df/2, x/2) / Γ(df/2), good to a part in 1e12.

    For whole df the regularised incomplete gamma function is a finite sum of positive terms (Abramowitz &
    Stegun 1964, 26.4.4 and 26.4.5; DLMF 8.4.10 and 8.8.2), in which nothing cancels: with y = x/2, even df: Σ
    e^-y yʲ/j! for j < df/2; odd df: erfc(√y) + Σ e^-y yʲ/Γ(j+1) for j = ½, 1½, … < df/2. With no degrees of
    freedom X is 0, and the tail is 1 for x ≤ 0.
    """
    if x <= 0:
        return 1.0
    if df == 0:
        return 0.0
    y = x / 2
    first = 0.5 if df % 2 else 0.0
    tail = [math.erfc(math.sqrt(y))] if df % 2 else []
    tail += [_poisson(first + step, y) for step in range(df // 2)]
    return min(1.0, math.fsum(tail))


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


# ----------------------------------------------------------------------------------------- federated learning


def federated_average(partials: Partials, *, weights: str = "weights", count: str = "count") -> dict[str, Any]:
    """FedAvg: the mean of model weights, each organization's by its number of samples: Σ nᵢ wᵢ / Σ nᵢ.

    Source: McMahan, Moore, Ramage, Hampson & Agüera y Arcas (2017), Communication-efficient learning of deep
    networks from decentralized data, AISTATS, algorithm 1.

    `weights` names the key with the weights (numbers in nested lists, or mappings from layer to them),
    `count` the number of samples. Returns `weights`, floats in the same shape, and `count` = Σ nᵢ. Raises
    ValueError, naming partial and place, where shapes or layers differ, for what is no finite number, and
    where there are no samples at all.
    """
    counts, models = [], []
    for place, partial in _places(partials):
        counts.append(_count(place, partial, count))
        models.append((f"{place}.{weights}", _get(place, partial, weights)))
    total = _total(counts, count)

    def average(leaves: list[tuple[str, Any]]) -> float:
        products = (number * _finite(place, leaf) for number, (place, leaf) in zip(counts, leaves, strict=True))
        return _sum(products, f"the weighted sum at {leaves[0][0]}") / total

    return {"weights": _fold(models, average, same_keys=True), "count": total}


# --------------------------------------------------------------------------------------------- what all share


def _places(partials: Partials, *, mappings: bool = True) -> list[tuple[str, Any]]:
    """Each partial with its place in words; refuses what is no list, or empty, or no mapping inside."""
    if isinstance(partials, Mapping):
        found = [(f"partials[{name!r}]", partial) for name, partial in partials.items()]
    elif isinstance(partials, Sequence) and not isinstance(partials, (str, bytes)):
        found = [(f"partials[{index}]", partial) for index, partial in enumerate(partials)]
    else:
        raise ValueError(f"partials are to be a list of mappings, not {_show(partials)}")
    if not found:
        raise ValueError("there are no partials to combine")
    for place, partial in found if mappings else ():
        if not isinstance(partial, Mapping):
            raise ValueError(f"{place} is {_show(partial)}, it must be a mapping")
    return found


def _get(place: str, partial: Mapping[str, Any], key: str) -> Any:
    if key not in partial:
        there = ", ".join(map(repr, partial)) or "nothing"
        raise ValueError(f"{place} has no {key!r}; it has {there}")
    return partial[key]


def _number(place: str, partial: Mapping[str, Any], key: str, *, least: float | None = None) -> float:
    value = _finite(f"{place}: {key}", _get(place, partial, key))
    if least is not None and value < least:
        raise ValueError(f"{place}: {key} is {value!r}, it must not be below {least:g}")
    return value


def _finite(where: str, value: Any) -> float:
    """A finite number; no boolean, no text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{where} is {_show(value)}, it must be a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{where} is {_show(value)}, it must be finite")
    return value


def _count(place: str, partial: Mapping[str, Any], key: str) -> int:
    return _whole(f"{place}: {key}", _get(place, partial, key))


def _whole(where: str, value: Any) -> int:
    number = _finite(where, value)
    if number != int(number) or not 0 <= number <= _MAX_COUNT:
        raise ValueError(f"{where} is {_show(value)}, it must be a whole number from 0 up")
    return int(number)


def _mean_of(place: str, partial: Mapping[str, Any], key: str, number: int) -> float:
    """A partial's mean; of no records there is none, which a null or a missing key may say."""
    if number == 0 and partial.get(key) is None:
        return 0.0
    return _number(place, partial, key)


def _total(counts: Sequence[int], key: str) -> int:
    total = sum(counts)
    if total == 0:
        raise ValueError(f"every {key} is zero: there are no records")
    return total


def _sum(values: Iterable[float], what: str) -> float:
    numbers = list(values)  # outside the try: an item may itself be refused with ValueError
    try:
        total = math.fsum(numbers)
    except (OverflowError, ValueError):  # fsum's words for an overflow, and for inf - inf after one
        total = math.inf
    if not math.isfinite(total):
        raise ValueError(f"{what} is too large for a floating-point number")
    return total


def _exact(values: Sequence[float], fraction: type[Fraction]) -> Fraction:
    return sum((fraction(value) for value in values), fraction(0))


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("the sums are too large for a floating-point number") from None


def _combine(moments: Sequence[tuple[int, float, float]], count: str, ddof: int) -> dict[str, Any]:
    """Chan, Golub and LeVeque's formula over (count, mean, squared deviations)."""
    total = _total([number for number, _, _ in moments], count)
    mean = _sum((number * mean for number, mean, _ in moments), "the sum of the values") / total
    between = (number * (own - mean) * (own - mean) for number, own, _ in moments)
    within = (deviations for _, _, deviations in moments)
    return _variance(_sum([*within, *between], "the sum of the squared deviations"), mean, total, ddof)


def _variance(deviations: float, mean: float, number: int, ddof: int) -> dict[str, Any]:
    _check_ddof(ddof, "ddof")
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


def _check_ddof(ddof: Any, name: str) -> None:
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise ValueError(f"{name} is {_show(ddof)}, it must be a whole number from 0 up (1: sample, 0: population)")


def _fold(
    tables: list[tuple[str, Any]], combine: Callable[[list[tuple[str, Any]]], Any], *, same_keys: bool = False
) -> Any:
    """Walk tables of one shape side by side and combine their leaves; `same_keys`: no key may be missing."""
    first_place, first = tables[0]
    for place, table in tables:
        if _shape(table) != _shape(first):
            raise ValueError(f"{place} is {_shape(table)} where {first_place} is {_shape(first)}")
    if isinstance(first, Mapping):
        if same_keys:
            _check_keys(tables)
        return {
            key: _fold(
                [(f"{place}.{key}", table[key]) for place, table in tables if key in table],
                combine,
                same_keys=same_keys,
            )
            for key in dict.fromkeys(key for _, table in tables for key in table)
        }
    if isinstance(first, (list, tuple)):
        for place, table in tables:
            if len(table) != len(first):
                raise ValueError(f"{place} has {len(table)} items where {first_place} has {len(first)}")
        return [
            _fold([(f"{place}[{index}]", table[index]) for place, table in tables], combine, same_keys=same_keys)
            for index in range(len(first))
        ]
    return combine(tables)


def _check_keys(tables: list[tuple[str, Any]]) -> None:
    first_place, first = tables[0]
    for place, table in tables:
        for key in [*(key for key in first if key not in table), *(key for key in table if key not in first)]:
            raise ValueError(f"{key!r} is in only one of {first_place} and {place}")


def _add_counts(leaves: list[tuple[str, Any]]) -> int:
    return sum(_whole(place, leaf) for place, leaf in leaves)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else "a single value"


def _show(value: Any) -> str:
    if value is None:
        return "null"
    text = f"{value:.17g}" if isinstance(value, float) else repr(value)
    kinds = {str: "the text ", bool: "the boolean ", list: "the list ", dict: "the mapping "}
    return kinds.get(type(value), "") + (text if len(text) <= 60 else text[:57] + "...")
