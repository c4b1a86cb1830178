"""Read columns of a hospital's table, or refuse with a message that a distant researcher can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from vantage6.algorithm.tools.exceptions import (
    DataError,
    DataTypeError,
    EnvironmentVariableError,
    PrivacyThresholdViolation,
    UserInputError,
)
from vantage6.algorithm.tools.util import get_env_var

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 1e100  # no measurement is larger, and squares and sums of such numbers stay finite


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise UserInputError for a missing column."""
    for column in columns:
        if not isinstance(column, str) or column not in table.columns:
            raise UserInputError(f"There is no column {column!r} here.")


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns as floats, a missing value as NaN. Raises UserInputError, DataTypeError, DataError."""
    require(table, columns)
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise DataTypeError(f"Column {column!r} does not hold numbers here ({table[column].dtype}).")
    chosen = table[list(columns)].astype("float64")
    for column in columns:
        if (chosen[column].abs() > LARGEST).any():
            raise DataError(f"Column {column!r} holds a value that is infinite or beyond {LARGEST:g} here.")
    return chosen


def zeros_and_ones(table: pd.DataFrame, column: str) -> pd.Series:
    """A column of 0, 1 and missing values. Raises UserInputError, DataTypeError, DataError."""
    chosen = numbers(table, [column])[column]
    if not chosen.dropna().isin([0.0, 1.0]).all():
        raise DataError(f"Column {column!r} holds something else than 0 and 1 here.")
    return chosen


def require_rows(count: int) -> None:
    """Refuse to answer about fewer patients than this node allows (MINIMUM_ROWS, 10 if it is not set).

    The message does not say how many there are: that number is what the threshold protects.
    """
    minimum = get_env_var("MINIMUM_ROWS", default="10", as_type="int")
    if minimum < 1:
        raise EnvironmentVariableError(f"MINIMUM_ROWS is {minimum} at this node; it must be at least 1.")
    if count < minimum:
        raise PrivacyThresholdViolation(
            f"Fewer patients than this node's minimum of {minimum} (MINIMUM_ROWS): no answer."
        )
