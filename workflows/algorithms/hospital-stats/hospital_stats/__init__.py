"""Counts, means, variances and regressions of a hospital's own rows: what a task may name as its method.

vantage6's wrapper looks a method up by its name in this module, so every function that a task may call is
listed here.
"""

from hospital_stats.central import central_average
from hospital_stats.partial import partial_average, partial_moments, partial_variance, regression, summary

__all__ = [
    "central_average",
    "partial_average",
    "partial_moments",
    "partial_variance",
    "regression",
    "summary",
]
