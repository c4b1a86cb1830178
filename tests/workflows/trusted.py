"""What statsmodels, scipy, pandas and numpy make of all rows in one table: the figures that examples must have.

They come under the names that the examples give them, so that a test compares the two key by key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pooling import CLOSED, near
from scipy.cluster.vq import kmeans2
from scipy.stats import chi2, norm, ttest_ind
from statsmodels.discrete.discrete_model import Logit
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The relative tolerance of standard errors of iterations: they are those where the last step began, at most 1e-8 away.
# Coefficients and likelihoods are as good as those of a formula, for Newton's steps square what is left.
ERRORS = 1e-7


def moments(column: Any) -> dict[str, Any]:
    """Of one column: {count, missing, mean, variance, standard_deviation, standard_error}."""
    recorded = DescrStatsW(column.dropna().to_numpy(dtype=float), ddof=1)
    assert recorded.mean == near(column.mean())
    return {
        "count": column.count(),
        "missing": column.isna().sum(),
        "mean": recorded.mean,
        "variance": recorded.var,
        "standard_deviation": recorded.std,
        "standard_error": recorded.std_mean,
    }


def interval(column: Any) -> dict[str, float]:
    """The 95 % interval of a mean, by the normal distribution: {mean, lower, upper}."""
    recorded = DescrStatsW(column.dropna().to_numpy(dtype=float))
    lower, upper = recorded.zconfint_mean(0.05)
    return {"mean": recorded.mean, "lower": lower, "upper": upper}


def difference(first: Any, second: Any) -> dict[str, Any]:
    """The second mean less the first, and Welch's standard error, twice: by statsmodels and by scipy."""
    one, other = (each.dropna().to_numpy(dtype=float) for each in (first, second))
    apart = other.mean() - one.mean()
    error = CompareMeans(DescrStatsW(other), DescrStatsW(one)).std_meandiff_separatevar
    assert apart / ttest_ind(other, one, equal_var=False).statistic == near(error)
    return {
        "means": [one.mean(), other.mean()],
        "counts": [len(one), len(other)],
        "difference": apart,
        "standard_error": error,
    }


def quantiles(column: Any, shares: list[float]) -> list[float]:
    """The least values that so many do not exceed."""
    found: list[float] = np.quantile(column.dropna().to_numpy(), shares, method="inverted_cdf").tolist()
    return found


def random_effects(tables: Iterable[Any], outcome: str, predictors: list[str]) -> dict[str, dict[str, Any]]:
    """Of each predictor: a least-squares fit for each table, pooled as by DerSimonian and Laird."""
    fits = []
    for table in tables:
        complete = table[[outcome, *predictors]].dropna().astype(float)
        fits.append(OLS(complete[outcome].to_numpy(), _design(complete[predictors])).fit())
    found = {}
    for place, name in enumerate(predictors, start=1):
        effects, errors = (np.array([getattr(fit, key)[place] for fit in fits]) for key in ("params", "bse"))
        pooled = combine_effects(effects, errors**2, method_re="dl")
        # statsmodels lets the variance between studies become negative, which DerSimonian and Laird do not: then
        # it is 0, and the effects are the fixed ones.
        kind = "re" if pooled.tau2 > 0 else "fe"
        weights = getattr(pooled, f"weights_rel_{kind}")
        estimate, error = getattr(pooled, f"mean_effect_{kind}"), getattr(pooled, f"sd_eff_w_{kind}")
        ci = pooled.conf_int(use_t=False)[1 if kind == "re" else 0]
        found[name] = {
            "estimate": estimate,
            "standard_error": error,
            "ci": [float(end) for end in ci],
            "z": estimate / error,
            "p": 2 * norm.sf(abs(estimate / error)),
            "k": len(fits),
            "Q": pooled.q,
            "df": pooled.df,
            "Q_p": chi2.sf(pooled.q, pooled.df),
            "tau2": max(pooled.tau2, 0.0),
            "I2": 100 * max(pooled.i2, 0.0),
            "weights": (100 * weights).tolist(),
        }
    return found


def logistic(table: Any, outcome: str, predictors: list[str]) -> dict[str, Any]:
    """The logistic regression over complete rows, as far as doubles go."""
    complete = table[[outcome, *predictors]].dropna().astype(float)
    fit = Logit(complete[outcome].to_numpy(), _design(complete[predictors])).fit(disp=0, tol=1e-14)
    return {
        "coefficients": fit.params.tolist(),
        "standard_errors": fit.bse.tolist(),
        "log_likelihood": float(fit.llf),
        "n": len(complete),
        "dropped": len(table) - len(complete),
    }


def cox(table: Any, time: str, event: str, predictors: list[str]) -> dict[str, Any]:
    """The Cox regression over complete rows, ties by Breslow, as far as doubles go."""
    complete = table[[time, event, *predictors]].dropna().astype(float)
    model = PHReg(
        complete[time].to_numpy(), complete[predictors].to_numpy(), complete[event].to_numpy(), ties="breslow"
    )
    fit = model.fit(tol=1e-14)
    return {
        "coefficients": fit.params.tolist(),
        "standard_errors": fit.bse.tolist(),
        "log_likelihood": float(fit.llf),
    }


def curves(table: Any, time: str, event: str, group: str) -> dict[str, dict[str, Any]]:
    """Of each group: Kaplan and Meier's curve at its own times of events, with Greenwood's errors.

    Where nobody is left statsmodels has no error (0 · ∞); it is 0 there.
    """
    found = {}
    for name, rows in table.dropna(subset=[time, event, group]).groupby(group):
        fit = SurvfuncRight(rows[time].to_numpy(), rows[event].to_numpy())
        # statsmodels' own quantile is where less than half are left; this is where at most half are
        fewer = [when for when, left in zip(fit.surv_times, fit.surv_prob, strict=True) if left < 0.5 + 1e-12]
        found[f"{name:g}" if isinstance(name, float) else str(name)] = {
            "count": len(rows),
            "events": int(rows[event].sum()),
            "median": float(fewer[0]) if fewer else None,
            "times": fit.surv_times.tolist(),
            "survival": fit.surv_prob.tolist(),
            "standard_errors": np.where(fit.surv_prob > 0, fit.surv_prob_se, 0.0).tolist(),
        }
    return found


def log_rank(table: Any, time: str, event: str, group: str) -> dict[str, Any]:
    """The log-rank test of all groups."""
    complete = table.dropna(subset=[time, event, group])
    chi_square, p_value = survdiff(*(complete[each].to_numpy() for each in (time, event, group)))
    freedom = complete[group].nunique() - 1
    return {"chi_square": float(chi_square), "degrees_of_freedom": freedom, "p_value": float(p_value)}


def clusters(rows: Any, starts: list[list[float]]) -> dict[str, Any]:
    """k-means from these centres until nothing moves, twice: by scipy, and by Lloyd's steps written out."""
    centers = np.array(starts, dtype=float)
    while True:
        nearest = ((rows[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.stack([rows[nearest == number].mean(axis=0) for number in range(len(centers))])
        if (moved == centers).all():
            break
        centers = moved
    by_scipy, labels = kmeans2(rows, np.array(starts, dtype=float), iter=200, minit="matrix")
    assert by_scipy.ravel().tolist() == near(centers.ravel().tolist())
    assert labels.tolist() == nearest.tolist()
    return {
        "centers": centers.tolist(),
        "counts": np.bincount(nearest).tolist(),
        "within": float(((rows - centers[nearest]) ** 2).sum()),
    }


def assert_as(found: Mapping[str, Any], expected: Mapping[str, Any], **rel: float) -> None:
    """All that is expected is found, to a relative tolerance of CLOSED or to that which is said of a key."""
    for key, value in expected.items():
        assert found[key] == near(value, rel.get(key, CLOSED)), key


def assert_curves(found: Mapping[str, Any], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """All groups have the expected curves, at each time of an event of theirs; between these nothing changes."""
    assert list(found["curves"]) == list(expected)
    for name, fit in expected.items():
        curve = found["curves"][name]
        for key in ("count", "events", "median"):
            assert curve[key] == fit[key], (name, key)
        for key, before in (("survival", 1.0), ("standard_errors", 0.0)):
            steps = pd.Series(fit[key], index=fit["times"]).reindex(found["times"]).ffill().fillna(before)
            assert curve[key] == near(steps.tolist()), (name, key)


def assert_just_above(found: Mapping[str, float], expected: list[float], precision: float) -> None:
    """Quantiles by bisection end where the quantile is at most so far below, and never above."""
    assert len(found) == len(expected)
    for (share, value), quantile in zip(found.items(), expected, strict=True):
        assert quantile <= value < quantile + precision, share


def assert_interval(found: Mapping[str, float], column: Any) -> None:
    """A mean has its 95 % interval; its width, too, which is small beside the ends."""
    expected = interval(column)
    assert_as(found, expected)
    assert found["upper"] - found["lower"] == near(expected["upper"] - expected["lower"])


def _design(predictors: Any) -> Any:
    return np.column_stack([np.ones(len(predictors)), predictors.to_numpy()])
