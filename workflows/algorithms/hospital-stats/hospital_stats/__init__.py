"""Counts, means, variances, regressions and survival of a hospital's own rows: what a task may name as its method.

vantage6's wrapper looks a method up by its name in this module, so every function that a task may call is
listed here.
"""

from hospital_stats.central import central_average
from hospital_stats.partial import partial_average, partial_moments, partial_variance, regression, summary
from hospital_stats.rounds import cluster_sums, count_up_to, logistic_derivatives
from hospital_stats.survival import cox_sums, event_table, event_times

__all__ = [
    "central_average",
    "cluster_sums",
    "count_up_to",
    "cox_sums",
    "event_table",
    "event_times",
    "logistic_derivatives",
    "partial_average",
    "partial_moments",
    "partial_variance",
    "regression",
    "summary",
]
