"""The built-in aggregations: against published figures, independently computed ones, and the data pooled."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow import aggregation
from v6flow.aggregation import (
    chi_square_tail,
    federated_average,
    fixed_effect,
    pooled_mean,
    pooled_variance,
    pooled_variance_from_sums,
    pooled_variance_from_variances,
    random_effects,
    sum_tables,
    total_count,
    variance_about_mean,
    weighted_mean,
)

# The ages of three hospitals; figures computed once with numpy 2.4: np.var(np.concatenate(AGES), ddof=1)
AGES = [[34.0, 45.5, 61.0, 52.25], [70.0, 18.0], [29.5, 33.0, 47.0, 80.0, 65.5]]
MEAN, VARIANCE_1, VARIANCE_0 = 48.70454545454545, 366.6352272727273, 333.3047520661157

# Colditz et al. (1994): 13 trials of the BCG vaccine; (cases, no cases) vaccinated, (cases, no cases) not.
# It is `dat.bcg` of R's metafor, whose manual prints the fits below to four digits.
BCG = [
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
]


def log_risk_ratio(a: int, b: int, c: int, d: int) -> dict[str, float]:
    return {
        "estimate": math.log((a / (a + b)) / (c / (c + d))),
        "standard_error": math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)),
    }


BCG_STUDIES = [log_risk_ratio(*trial) for trial in BCG]


def moments(values: list[float]) -> dict[str, Any]:
    mean = math.fsum(values) / len(values) if values else None
    return {
        "count": len(values),
        "sum": math.fsum(values),
        "mean": mean,
        "squared_deviations": math.fsum((value - (mean or 0)) ** 2 for value in values),
        "sum_of_squares": math.fsum(value * value for value in values),
        "variance": statistics.variance(values) if len(values) > 1 else None,
    }


PARTIALS = [moments(values) for values in AGES]


# ---------------------------------------------------------------------------------------------------- pooling


def test_pooled_mean() -> None:
    assert pooled_mean(PARTIALS) == {"mean": pytest.approx(MEAN, rel=1e-15), "count": 11, "sum": 535.75}


def test_pooled_mean_with_other_keys_and_by_organization() -> None:
    by_organization: dict[str, dict[str, float]] = {
        "alpha": {"n": 3, "total": 6},
        "beta": {"n": 1, "total": 4.0},
    }
    assert pooled_mean(by_organization, count="n", sum="total") == {"mean": 2.5, "count": 4, "sum": 10.0}


def test_sums_are_rounded_once() -> None:
    partials = [{"count": 1, "sum": 1e16}, {"count": 1, "sum": 1.0}, {"count": 2, "sum": -1e16}]
    assert pooled_mean(partials)["mean"] == 0.25


@pytest.mark.parametrize(("ddof", "variance"), [(1, VARIANCE_1), (0, VARIANCE_0)])
def test_pooled_variance(ddof: int, variance: float) -> None:
    expected = {
        "variance": pytest.approx(variance, rel=1e-14),
        "standard_deviation": pytest.approx(math.sqrt(variance), rel=1e-14),
        "mean": pytest.approx(MEAN, rel=1e-15),
        "squared_deviations": pytest.approx(VARIANCE_0 * 11, rel=1e-14),
        "count": 11,
        "ddof": ddof,
    }
    assert pooled_variance(PARTIALS, ddof=ddof) == expected
    assert pooled_variance_from_sums(PARTIALS, ddof=ddof) == expected
    assert pooled_variance_from_variances(PARTIALS, ddof=ddof) == expected
    centred = [{"count": len(v), "squared_deviations": sum((x - 535.75 / 11) ** 2 for x in v)} for v in AGES]
    assert variance_about_mean(centred, mean=535.75 / 11, ddof=ddof) == expected


def test_pooled_variance_counts_differences_between_organizations() -> None:
    apart = [moments([1.0, 1.0]), moments([5.0, 5.0])]
    assert pooled_variance(apart)["variance"] == pytest.approx(16 / 3)


def test_variances_divided_by_n_are_told_by_variance_ddof() -> None:
    partials = [{"count": len(v), "mean": statistics.fmean(v), "variance": statistics.pvariance(v)} for v in AGES]
    result = pooled_variance_from_variances(partials, variance_ddof=0)
    assert result["variance"] == pytest.approx(VARIANCE_1, rel=1e-14)


def test_an_organization_without_records_has_no_mean_and_changes_nothing() -> None:
    empty: list[dict[str, Any]] = [
        {"count": 0, "mean": None, "squared_deviations": 0, "variance": None},
        {"count": 0, "squared_deviations": 0},
    ]
    assert pooled_variance([*PARTIALS, *empty]) == pooled_variance(PARTIALS)
    assert pooled_variance_from_variances([*PARTIALS, *empty]) == pooled_variance_from_variances(PARTIALS)


def test_a_large_offset_does_not_cancel() -> None:
    """Chan, Golub & LeVeque's hard case: the spread is 1e-9 of the mean; raw sums of squares have lost it."""
    values = [[1e9 + 4.0, 1e9 + 7.0], [1e9 + 13.0, 1e9 + 16.0]]  # the variance of 4, 7, 13, 16 is 30
    partials = [moments(part) for part in values]
    assert pooled_variance(partials)["variance"] == 30.0
    with pytest.raises(ValueError, match=r"lost to rounding.*pooled_variance"):
        pooled_variance_from_sums(partials)


def test_whole_numbers_never_cancel() -> None:
    partials = [
        {"count": 2, "sum": sum(part), "sum_of_squares": sum(x * x for x in part)}
        for part in ([10**9 + 4, 10**9 + 7], [10**9 + 13, 10**9 + 16])
    ]
    assert pooled_variance_from_sums(partials)["variance"] == 30.0
    assert pooled_variance_from_sums([{"count": 3, "sum": 6, "sum_of_squares": 12}])["variance"] == 0.0


def test_sums_of_squares_that_cancel_to_less_than_nothing_are_refused() -> None:
    partials = [{"count": 10, "sum": 1.0, "sum_of_squares": 0.09999999999999999}]
    with pytest.raises(ValueError, match="lost to rounding"):
        pooled_variance_from_sums(partials)


def test_weighted_mean() -> None:
    rows = [(2.0, 3), (-1, 0.5), (7, 0)]
    partials: list[dict[str, float]] = [{"value": value, "weight": weight} for value, weight in rows]
    assert weighted_mean(partials) == {"mean": 5.5 / 3.5, "weight": 3.5}


values_of_organizations = st.lists(
    st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), max_size=12), min_size=1, max_size=5
).filter(lambda parts: sum(map(len, parts)) > 1)


@given(values_of_organizations)
@settings(max_examples=150, deadline=None)
def test_pooling_equals_computing_on_the_concatenated_data(parts: list[list[float]]) -> None:
    partials = [moments(part) for part in parts]
    everything = [value for part in parts for value in part]
    scale = max(map(abs, everything)) or 1.0
    mean, variance = statistics.fmean(everything), statistics.variance(everything)
    assert pooled_mean(partials)["mean"] == pytest.approx(mean, rel=1e-12, abs=1e-14 * scale)
    for result in (pooled_variance(partials), pooled_variance_from_variances(partials)):
        assert result["variance"] == pytest.approx(variance, rel=1e-9, abs=1e-24 * scale**2)
        assert result["count"] == len(everything)


@given(values_of_organizations)
@settings(max_examples=150, deadline=None)
def test_raw_sums_give_six_digits_or_refuse(parts: list[list[float]]) -> None:
    try:
        result = pooled_variance_from_sums([moments(part) for part in parts])
    except ValueError as error:
        assert "lost to rounding" in str(error)  # noqa: PT017  either outcome is right, this one only so
    else:
        variance = statistics.variance([value for part in parts for value in part])
        assert result["variance"] == pytest.approx(variance, rel=1e-5)


@given(st.lists(st.lists(st.integers(-1000, 1000), max_size=8), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_raw_sums_of_whole_numbers_are_exact(parts: list[list[int]]) -> None:
    everything = [value for part in parts for value in part]
    if len(everything) < 2:
        return
    partials = [{"count": len(p), "sum": sum(p), "sum_of_squares": sum(x * x for x in p)} for p in parts]
    assert pooled_variance_from_sums(partials)["variance"] == pytest.approx(statistics.variance(everything), rel=1e-15)


# ------------------------------------------------------------------------------------------ counts and tables


def test_total_count() -> None:
    assert total_count([{"count": 3}, {"count": 0}, {"count": 4.0}]) == {"count": 7}
    assert total_count([{"n": 0}], count="n") == {"count": 0}


def test_sum_tables_adds_cells_and_takes_missing_keys_for_zero() -> None:
    tables: list[dict[str, Any]] = [
        {"sex": {"f": 2, "m": 3}, "deciles": [1, 0, 2], "n": 5},
        {"sex": {"x": 1, "f": 1}, "deciles": [0, 4, 1], "n": 2},
    ]
    expected = {"sex": {"f": 3, "m": 3, "x": 1}, "deciles": [1, 4, 3], "n": 7}
    assert sum_tables(tables) == expected
    assert sum_tables([{"table": table, "rows": "?"} for table in tables], table="table") == expected
    assert list(sum_tables(tables)["sex"]) == ["f", "m", "x"]
    lists: Any = [[1, 2], [3, 4]]
    assert sum_tables(lists) == [4, 6]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            [{"a": {"b": 1}}, {"a": 2}],
            r"partials\[1\]\.a is a single value where partials\[0\]\.a is a mapping",
        ),
        ([{"a": [1, 2]}, {"a": [1]}], r"partials\[1\]\.a has 1 items where partials\[0\]\.a has 2"),
        ([{"a": [1]}, {"a": {"0": 1}}], r"partials\[1\]\.a is a mapping where partials\[0\]\.a is a list"),
        ([{"a": 1}, {"a": None}], r"partials\[1\]\.a is null, it must be a number"),
        ([{"a": 1}, {"a": "<5"}], r"partials\[1\]\.a is the text '<5', it must be a number"),
        (
            [{"a": {"b": 1}}, {"a": {"b": -1}}],
            r"partials\[1\]\.a\.b is -1, it must be a whole number from 0 up",
        ),
        ([{"a": True}], r"partials\[0\]\.a is the boolean True"),
        ([{"a": 1.5}], r"partials\[0\]\.a is 1\.5"),
        ([], "no partials"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tables: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sum_tables(tables)


# ---------------------------------------------------------------------------------------------- meta-analysis


def test_fixed_effect_of_the_bcg_trials() -> None:
    """metafor prints -0.4303, 0.0405, -10.6247, [-0.5097, -0.3509], Q 152.2330; digits: statsmodels 0.15."""
    result = fixed_effect(BCG_STUDIES)
    assert result["estimate"] == pytest.approx(-0.43028516365409053, rel=1e-13)
    assert result["standard_error"] == pytest.approx(0.04049875171086381, rel=1e-13)
    assert result["ci"] == pytest.approx([-0.5096612584262136, -0.3509090688819677], rel=1e-12)
    assert result["z"] == pytest.approx(-10.6247, abs=5e-5)
    assert result["p"] == pytest.approx(2.2886293069734457e-26, rel=1e-9)  # scipy: 2 * norm.sf(10.624652501046505)
    assert (result["k"], result["df"], result["tau2"], result["level"]) == (13, 12, 0.0, 0.95)
    assert result["Q"] == pytest.approx(152.23300808237337, rel=1e-13)
    assert result["Q_p"] == pytest.approx(1.996764590845891e-26, rel=1e-9)
    assert result["I2"] == pytest.approx(92.11734685456205, rel=1e-13)
    assert result["H2"] == pytest.approx(12.686084006864448, rel=1e-13)
    assert math.fsum(result["weights"]) == pytest.approx(100, rel=1e-14)
    assert result["weights"][7] == pytest.approx(41.4014, abs=5e-5)


def test_random_effects_of_the_bcg_trials() -> None:
    """metafor, method="DL", prints -0.7141, 0.1787, -3.9952, [-1.0644, -0.3638], 0.3088, 92.12 %, 12.69."""
    result = random_effects(BCG_STUDIES)
    assert result["estimate"] == pytest.approx(-0.7141172220732269, rel=1e-13)
    assert result["standard_error"] == pytest.approx(0.17874208953540316, rel=1e-13)
    assert result["ci"] == pytest.approx([-1.064445, -0.363789], abs=5e-7)
    assert result["z"] == pytest.approx(-3.9952, abs=5e-5)
    assert result["p"] == pytest.approx(6.462924304704044e-05, rel=1e-9)
    assert result["tau2"] == pytest.approx(0.30876026286237634, rel=1e-13)
    assert result["Q"] == pytest.approx(152.23300808237337, rel=1e-13)
    assert result["I2"] == pytest.approx(92.11734685456205, rel=1e-12)
    assert result["H2"] == pytest.approx(12.686084006864448, rel=1e-12)
    assert result["weights"][0] == pytest.approx(5.0365, abs=5e-5)


def test_random_effects_of_six_studies() -> None:
    """Hedges' g and variances of Borenstein et al. (2009), chapter 14, as printed; statsmodels 0.15, "dl"."""
    effects = [(0.095, 0.033), (0.277, 0.031), (0.367, 0.050), (0.664, 0.011), (0.462, 0.043), (0.185, 0.023)]
    studies = [{"estimate": g, "standard_error": math.sqrt(v)} for g, v in effects]
    result = random_effects(studies)
    assert result["estimate"] == pytest.approx(0.3576683836925969, rel=1e-13)
    assert result["standard_error"] == pytest.approx(0.10453183375806675, rel=1e-13)
    assert result["tau2"] == pytest.approx(0.0362824684267649, rel=1e-12)
    assert result["Q_p"] == pytest.approx(0.038478976911179005, rel=1e-12)
    assert fixed_effect(studies)["estimate"] == pytest.approx(0.40925823794776806, rel=1e-13)


def test_homogeneous_studies_have_no_variance_between_them() -> None:
    studies = {
        "alpha": {"estimate": 0.5, "standard_error": 0.1},
        "beta": {"estimate": 0.5, "standard_error": 0.2},
    }
    result = random_effects(studies)
    assert (result["tau2"], result["I2"], result["H2"], result["Q"], result["Q_p"]) == (0, 0, 1, 0, 1)
    assert result["weights"] == {"alpha": pytest.approx(80), "beta": pytest.approx(20)}
    assert fixed_effect(studies)["H2"] == 0


def test_one_study_is_itself_or_refused() -> None:
    study = [{"beta": 0.5, "se": 0.1}]
    result = fixed_effect(study, estimate="beta", standard_error="se", level=0.99)
    assert (result["estimate"], result["df"], result["Q_p"], result["H2"]) == (0.5, 0, 1, 1)
    assert result["standard_error"] == pytest.approx(0.1, rel=1e-15)
    reach = 0.25758293035489  # scipy: 0.1 * norm.ppf(0.995)
    assert result["ci"] == pytest.approx([0.5 - reach, 0.5 + reach], rel=1e-12)
    with pytest.raises(ValueError, match="at least two studies"):
        random_effects(study, estimate="beta", standard_error="se")


@pytest.mark.parametrize(
    ("x", "df", "tail"),
    [  # mpmath 1.4 with 40 digits: gammainc(df/2, x/2, inf, regularized=True)
        (3.841458820694124, 1, 0.0500000000000000574),
        (18.307038053275146, 10, 0.0500000000000000067),
        (152.233, 12, 1.99677213733530626e-26),
        (12.0, 5, 0.0347877805062418499),
        (129.5611971858366, 100, 0.0250000000000000077),
        (51.0, 51, 0.473660653281969137),
    ],
)
def test_chi_square_tail(x: float, df: int, tail: float) -> None:
    assert chi_square_tail(x, df) == pytest.approx(tail, rel=1e-12, abs=0)


def test_chi_square_tail_at_its_ends() -> None:
    assert chi_square_tail(0, 3) == 1
    assert chi_square_tail(1e300, 30) == 0
    assert chi_square_tail(1e-300, 31) == 1
    assert chi_square_tail(0, 0) == 1


@pytest.mark.parametrize(
    ("studies", "level", "message"),
    [
        ([{"estimate": 1, "standard_error": 0}], 0.95, r"partials\[0\]: standard_error is 0"),
        ([{"estimate": 1, "standard_error": -1}], 0.95, r"partials\[0\]: standard_error is -1"),
        ([{"estimate": 1, "standard_error": 1e-200}], 0.95, "too small or too large"),
        ([{"estimate": 1, "standard_error": 1e200}], 0.95, "too small or too large"),
        ([{"estimate": 1, "standard_error": 1}], 95, "level is 95"),
        ([{"estimate": 1, "standard_error": 1}], 1.0, "level is 1"),
        ([{"estimate": None, "standard_error": 1}], 0.95, r"partials\[0\]: estimate is null"),
        ([], 0.95, "no partials"),
    ],
)
def test_studies_that_cannot_be_weighed_are_refused(studies: list[Any], level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fixed_effect(studies, level=level)


# ----------------------------------------------------------------------------------------- federated learning


def test_federated_average() -> None:
    """McMahan et al. (2017), algorithm 1, by hand: (10·[1, 2] + 30·[5, -2]) / 40."""
    partials = [
        {"count": 10, "weights": {"layer": [[1.0, 2.0]], "bias": [0]}},
        {"count": 30, "weights": {"layer": [[5.0, -2.0]], "bias": [4]}},
    ]
    assert federated_average(partials) == {"weights": {"layer": [[4.0, -1.0]], "bias": [3.0]}, "count": 40}
    assert federated_average([{"n": 1, "w": 2}, {"n": 0, "w": 9}], weights="w", count="n") == {
        "weights": 2.0,
        "count": 1,
    }


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"partials\[1\]\.weights has 1 items where partials\[0\]\.weights has 2"),
        (
            [{"a": 1.0}, {"b": 1.0}],
            r"'a' is in only one of partials\[0\]\.weights and partials\[1\]\.weights",
        ),
        ([[[1.0]], [1.0]], r"partials\[1\]\.weights\[0\] is a single value where"),
        ([[1.0], [math.nan]], r"partials\[1\]\.weights\[0\] is nan, it must be finite"),
        ([[1.0], [True]], r"partials\[1\]\.weights\[0\] is the boolean True"),
        ([[1.0], ["1"]], r"partials\[1\]\.weights\[0\] is the text '1'"),
        ([[1.7e308], [1.7e308]], "too large"),
    ],
)
def test_models_of_different_shape_are_refused(models: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        federated_average([{"count": 1, "weights": model} for model in models])


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("partial", "message"),
    [
        ({"count": True, "sum": 1}, "count is the boolean True, it must be a number"),
        ({"count": -1, "sum": 1}, "count is -1, it must be a whole number from 0 up"),
        ({"count": 1.5, "sum": 1}, "count is 1.5, it must be a whole number"),
        ({"count": 1e300, "sum": 1}, "it must be a whole number"),
        ({"count": "3", "sum": 1}, "count is the text '3', it must be a number"),
        ({"count": None, "sum": 1}, "count is null"),
        ({"count": 1, "sum": math.nan}, "sum is nan, it must be finite"),
        ({"count": 1, "sum": math.inf}, "sum is inf, it must be finite"),
        ({"count": 1, "sum": 10**400}, "it must be finite"),
        ({"count": 1, "sum": [1]}, r"sum is the list \[1\]"),
        ({"count": 0, "sum": 2.0}, "sum is 2.0 although count is 0"),
        ({"n": 1, "sum": 2.0}, "has no 'count'; it has 'n', 'sum'"),
        ({}, "has no 'count'; it has nothing"),
        (7, "is 7, it must be a mapping"),
    ],
)
def test_an_impossible_partial_is_named(partial: Any, message: str) -> None:
    good = {"count": 1, "sum": 1.0}
    with pytest.raises(ValueError, match=r"partials\[1\].*" + message):
        pooled_mean([good, partial])
    with pytest.raises(ValueError, match=r"partials\['St. Beta'\].*" + message):
        pooled_mean({"alpha": good, "St. Beta": partial})


@pytest.mark.parametrize("partials", [[], {}, "text", None, 3])
def test_what_is_no_list_of_partials_is_refused(partials: Any) -> None:
    with pytest.raises(ValueError, match="partials"):
        pooled_mean(partials)


def test_zero_totals_and_too_few_records_are_refused() -> None:
    with pytest.raises(ValueError, match="every count is zero"):
        pooled_mean([{"count": 0, "sum": 0}])
    with pytest.raises(ValueError, match="every weight is zero"):
        weighted_mean([{"value": 1, "weight": 0}])
    with pytest.raises(ValueError, match="1 records, too few"):
        pooled_variance([{"count": 1, "mean": 3, "squared_deviations": 0}])
    with pytest.raises(ValueError, match="every count is zero"):
        federated_average([{"count": 0, "weights": [1]}])


@pytest.mark.parametrize("ddof", [-1, True, 0.5, "1"])
def test_a_strange_ddof_is_refused(ddof: Any) -> None:
    with pytest.raises(ValueError, match="ddof is"):
        pooled_variance(PARTIALS, ddof=ddof)


def test_contradictions_within_a_partial_are_refused() -> None:
    with pytest.raises(ValueError, match=r"partials\[0\]: squared_deviations is 2 although count is 1"):
        pooled_variance([{"count": 1, "mean": 3, "squared_deviations": 2}])
    with pytest.raises(ValueError, match=r"partials\[0\]: squared_deviations is -2"):
        pooled_variance([{"count": 2, "mean": 3, "squared_deviations": -2}])
    with pytest.raises(ValueError, match=r"partials\[0\]: variance is 2 although count is 1"):
        pooled_variance_from_variances([{"count": 1, "mean": 3, "variance": 2}])
    with pytest.raises(ValueError, match=r"partials\[0\]: sum_of_squares 9 is too small for sum 10 and count 2"):
        pooled_variance_from_sums([{"count": 2, "sum": 10, "sum_of_squares": 9}])
    with pytest.raises(ValueError, match=r"partials\[0\]: mean is null"):
        pooled_variance([{"count": 2, "mean": None, "squared_deviations": 2}])


def test_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        pooled_mean([{"count": 1, "sum": 1.7e308}, {"count": 1, "sum": 1.7e308}])
    with pytest.raises(ValueError, match="too large"):
        pooled_variance([{"count": 1, "mean": m, "squared_deviations": 0} for m in (1e200, -1e200)])


def test_importing_it_costs_next_to_nothing() -> None:
    package = Path(aggregation.__file__).parent.parent
    program = (
        "import sys, types; sys.modules['v6flow'] = bare = types.ModuleType('v6flow'); "
        f"bare.__path__ = [{str(package)!r}]; before = set(sys.modules); import v6flow.aggregation; "
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy = {"numpy", "typing", "dataclasses", "statistics", "fractions", "re"}
    assert not heavy & set(done.stdout.split()), done.stdout
