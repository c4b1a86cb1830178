"""Take numbers out of a hospital's table, or refuse in words that a researcher far away can act on."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np
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

DEFAULT_MINIMUM_ROWS = 10  # where the node does not set MINIMUM_ROWS
LARGEST = 1e100  # no measurement is larger, and squares and sums of such numbers stay finite


def numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns as floats, a missing value as NaN.

    Raises UserInputError for a column that is not there, DataTypeError for one that does not hold numbers and
    DataError for values too large to be measurements.
    """
    for column in columns:
        if not isinstance(column, str) or column not in table.columns:
            raise UserInputError(f"There is no column {column!r} here.{_nearest(table, column)}")
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise DataTypeError(f"Column {column!r} does not hold numbers here ({table[column].dtype}).")
    chosen = table[list(columns)].astype("float64")
    for column in columns:
        if (chosen[column].abs() > LARGEST).any():
            raise DataError(f"Column {column!r} holds a value that is infinite or beyond {LARGEST:g} here.")
    return chosen


def names(columns: object, argument: str) -> list[str]:
    """A list of different column names, as the researcher sent it. Raises UserInputError."""
    if not isinstance(columns, list) or not columns or not all(isinstance(column, str) for column in columns):
        raise UserInputError(f"{argument!r} must be a list of at least one column name, not {columns!r}.")
    if len(set(columns)) != len(columns):
        raise UserInputError(f"{argument!r} names a column twice: {', '.join(columns)}.")
    return columns


def vector(value: object, length: int | None, argument: str) -> np.ndarray:
    """A list of so many finite numbers (None: at least one), as the researcher sent it. Raises UserInputError."""
    fine = isinstance(value, list) and (len(value) == length if length is not None else bool(value))
    if not fine or not all(
        isinstance(each, (int, float)) and not isinstance(each, bool) and abs(each) <= LARGEST for each in value
    ):
        what = "at least one finite number" if length is None else f"{length} finite numbers"
        raise UserInputError(f"{argument!r} must be a list of {what}, not {value!r}.")
    return np.array(value, dtype=float)


def require_rows(count: int, what: str) -> None:
    """Refuse to answer about fewer patients than this node allows.

    The message does not say how many there are: that number is what the threshold protects.
    """
    minimum = _minimum_rows()
    if count < minimum:
        raise PrivacyThresholdViolation(
            f"{what}: fewer here than this node's minimum of {minimum} (MINIMUM_ROWS); nothing is returned."
        )


def _minimum_rows() -> int:
    minimum = get_env_var("MINIMUM_ROWS", default=str(DEFAULT_MINIMUM_ROWS), as_type="int")
    if minimum < 1:
        raise EnvironmentVariableError(f"MINIMUM_ROWS is {minimum} at this node; it must be at least 1.")
    return minimum


def _nearest(table: pd.DataFrame, column: object) -> str:
    close = difflib.get_close_matches(str(column), [str(name) for name in table.columns], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
