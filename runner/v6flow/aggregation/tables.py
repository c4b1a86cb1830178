"""Tables of one shape, walked side by side."""

from __future__ import annotations

from collections.abc import Mapping

from v6flow.aggregation.partials import whole

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def fold(
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
            key: fold(
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
            fold([(f"{place}[{index}]", table[index]) for place, table in tables], combine, same_keys=same_keys)
            for index in range(len(first))
        ]
    return combine(tables)


def _check_keys(tables: list[tuple[str, Any]]) -> None:
    first_place, first = tables[0]
    for place, table in tables:
        for key in [*(key for key in first if key not in table), *(key for key in table if key not in first)]:
            raise ValueError(f"{key!r} is in only one of {first_place} and {place}")


def add_counts(leaves: list[tuple[str, Any]]) -> int:
    """The sum of leaves that are counts."""
    return sum(whole(place, leaf) for place, leaf in leaves)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else "a single value"
