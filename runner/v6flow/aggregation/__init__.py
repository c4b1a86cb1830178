"""Built-in aggregations: exact, checked ways to combine what organizations returned, for `local.function`.

Each takes what a task step offers: a list of mappings (`{{ steps.x.results }}`) or a mapping from
organization to mapping (`{{ steps.x.by_organization }}`), whose keys can be named where an algorithm calls
them otherwise. Each returns plain JSON. None of them guesses: a value that is missing, text, a boolean, not
finite or impossible raises ValueError that names the partial (by its place from 0, or its organization) and
what is wrong with it. Sums are rounded once (`math.fsum`). Nothing but the standard library is imported.
"""

from __future__ import annotations

import math

from v6flow.aggregation.chi_square import tail
from v6flow.aggregation.meta_analysis import inverse_variance, read_studies, report
from v6flow.aggregation.partials import at, count_of, finite, mean_of, number_at, places, rounded_once, show, total_of
from v6flow.aggregation.tables import add_counts, fold
from v6flow.aggregation.variances import as_float, check_ddof, combine, exact_sum, variance_report

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost
if TYPE_CHECKING:
    from typing import Any

    from v6flow.aggregation.partials import Partials

_LEAST_LEFT = 1e-10  # a difference that is a smaller part of its terms has lost ten of sixteen digits


def pooled_mean(
    partials: Partials,
    *,
    count: str = "count",
    sum: str = "sum",  # noqa: A002  the key's name
) -> dict[str, Any]:
    """The mean of all records, from each organization's count and sum: Σ sumᵢ / Σ countᵢ.

    `count` and `sum` name the keys. Returns `mean` and `sum` (in the column's unit) and `count`. Raises
    ValueError for a count that is not a whole number from 0 up, a sum that is not finite or not zero where
    the count is, and a total count of zero.
    """
    counts, sums = [], []
    for place, partial in places(partials):
        counts.append(count_of(place, partial, count))
        sums.append(number_at(place, partial, sum))
        if counts[-1] == 0 and sums[-1] != 0:
            raise ValueError(f"{place}: {sum} is {sums[-1]!r} although {count} is 0")
    number, total = total_of(counts, count), rounded_once(sums, f"the sum of {sum}")
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
    for place, partial in places(partials):
        number = count_of(place, partial, count)
        deviations = number_at(place, partial, squared_deviations, least=0.0)
        if number < 2 and deviations != 0:
            raise ValueError(f"{place}: {squared_deviations} is {deviations!r} although {count} is {number}")
        moments.append((number, mean_of(place, partial, mean, number), deviations))
    return combine(moments, count, ddof)


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
    check_ddof(variance_ddof, "variance_ddof")
    moments = []
    for place, partial in places(partials):
        number = count_of(place, partial, count)
        deviations = 0.0
        if number > variance_ddof:
            deviations = number_at(place, partial, variance, least=0.0) * (number - variance_ddof)
        elif partial.get(variance) not in (None, 0):
            raise ValueError(f"{place}: {variance} is {show(partial[variance])} although {count} is {number}")
        moments.append((number, mean_of(place, partial, mean, number), deviations))
    return combine(moments, count, ddof)


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
    for place, partial in places(partials):
        number = count_of(place, partial, count)
        total, square = number_at(place, partial, sum), number_at(place, partial, sum_of_squares, least=0.0)
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
    number = total_of(counts, count)
    grand, squared = exact_sum(sums, Fraction), exact_sum(squares, Fraction)
    deviations = squared - grand**2 / number
    whole = all(isinstance(item, int) for item in (*sums, *squares))
    if deviations < 0 or (not whole and deviations < squared * Fraction(_LEAST_LEFT)):
        raise ValueError(
            f"the variance is lost to rounding: the sums of squares are {as_float(squared):.3g} together, "
            f"and all but {as_float(deviations):.3g} cancels; let organizations return means and "
            "squared deviations instead (pooled_variance)"
        )
    return variance_report(as_float(deviations), as_float(grand / number), number, ddof)


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
    centre = finite("mean", mean)
    counts, deviations = [], []
    for place, partial in places(partials):
        counts.append(count_of(place, partial, count))
        deviations.append(number_at(place, partial, squared_deviations, least=0.0))
        if counts[-1] == 0 and deviations[-1] != 0:
            raise ValueError(f"{place}: {squared_deviations} is {deviations[-1]!r} although {count} is 0")
    return variance_report(
        rounded_once(deviations, f"the sum of {squared_deviations}"), centre, total_of(counts, count), ddof
    )


def weighted_mean(partials: Partials, *, value: str = "value", weight: str = "weight") -> dict[str, Any]:
    """The weighted mean Σ wᵢ vᵢ / Σ wᵢ.

    `value` and `weight` name the keys; weights are finite numbers from 0 up, in any common unit. Returns
    `mean` (in the value's unit) and `weight`, the sum of the weights. Raises ValueError if all weights are
    zero.
    """
    values, weights = [], []
    for place, partial in places(partials):
        values.append(number_at(place, partial, value))
        weights.append(number_at(place, partial, weight, least=0.0))
    total = rounded_once(weights, f"the sum of {weight}")
    if total == 0:
        raise ValueError(f"every {weight} is zero: a mean over nothing")
    products = (one * by for one, by in zip(values, weights, strict=True))
    return {"mean": rounded_once(products, "the weighted sum") / total, "weight": total}


def total_count(partials: Partials, *, count: str = "count") -> dict[str, Any]:
    """The sum of counts: `{"count": Σ countᵢ}`, a whole number; zero is a count.

    `count` names the key. Raises ValueError for anything but a whole number from 0 up.
    """
    total = sum(count_of(place, partial, count) for place, partial in places(partials))
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
    for place, partial in places(partials, mappings=table is not None):
        tables.append((place, partial) if table is None else (f"{place}.{table}", at(place, partial, table)))
    return fold(tables, add_counts)


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
    names, values, errors = read_studies(studies, estimate, standard_error)
    fit = inverse_variance(values, [error * error for error in errors])
    excess = fit.q - fit.df
    i2 = 100.0 * max(0.0, excess / fit.q) if fit.q > 0 else 0.0
    h2 = fit.q / fit.df if fit.df else 1.0
    return report(fit, names, level, q=fit.q, i2=i2, h2=h2, tau2=0.0)


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
    names, values, errors = read_studies(studies, estimate, standard_error)
    if len(values) < 2:
        raise ValueError("a random-effects meta-analysis needs at least two studies, there is one; see fixed_effect")
    variances = [error * error for error in errors]
    fixed = inverse_variance(values, variances)
    spread = math.fsum(weight * (1 - weight / fixed.weight) for weight in fixed.weights)
    if not spread > 0:
        raise ValueError("one study outweighs all others so far that the variance between studies cannot be computed")
    tau2 = max(0.0, (fixed.q - fixed.df) / spread)
    h2 = tau2 * spread / fixed.df + 1.0
    fit = inverse_variance(values, [variance + tau2 for variance in variances])
    return report(fit, names, level, q=fixed.q, i2=100.0 * (h2 - 1.0) / h2, h2=h2, tau2=tau2)


def chi_square_tail(x: float, df: int) -> float:
    """P(X ≥ x) for X chi-square with `df` degrees of freedom, Γ(df/2, x/2) / Γ(df/2), good to a part in 1e12.

    For whole df the regularised incomplete gamma function is a finite sum of positive terms (Abramowitz &
    Stegun 1964, 26.4.4 and 26.4.5; DLMF 8.4.10 and 8.8.2), in which nothing cancels: with y = x/2, even df: Σ
    e^-y yʲ/j! for j < df/2; odd df: erfc(√y) + Σ e^-y yʲ/Γ(j+1) for j = ½, 1½, … < df/2. With no degrees of
    freedom X is 0, and the tail is 1 for x ≤ 0.
    """
    return tail(x, df)


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
    for place, partial in places(partials):
        counts.append(count_of(place, partial, count))
        models.append((f"{place}.{weights}", at(place, partial, weights)))
    total = total_of(counts, count)

    def average(leaves: list[tuple[str, Any]]) -> float:
        products = (number * finite(place, leaf) for number, (place, leaf) in zip(counts, leaves, strict=True))
        return rounded_once(products, f"the weighted sum at {leaves[0][0]}") / total

    return {"weights": fold(models, average, same_keys=True), "count": total}
