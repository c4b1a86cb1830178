"""What organizations returned, read key by key: anything but what it should be is refused with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # type checkers know the name; importing typing would double the cost
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

Partials: TypeAlias = "Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]"
"""What organizations returned, in the order asked or by organization."""

_MAX_COUNT = 2**53  # above it a float no longer holds every whole number


def places(partials: Partials, *, mappings: bool = True) -> list[tuple[str, Any]]:
    """Each partial with its place in words; refuses what is no list, or empty, or no mapping inside."""
    if isinstance(partials, Mapping):
        found = [(f"partials[{name!r}]", partial) for name, partial in partials.items()]
    elif isinstance(partials, Sequence) and not isinstance(partials, (str, bytes)):
        found = [(f"partials[{index}]", partial) for index, partial in enumerate(partials)]
    else:
        raise ValueError(f"partials are to be a list of mappings, not {show(partials)}")
    if not found:
        raise ValueError("there are no partials to combine")
    for place, partial in found if mappings else ():
        if not isinstance(partial, Mapping):
            raise ValueError(f"{place} is {show(partial)}, it must be a mapping")
    return found


def at(place: str, partial: Mapping[str, Any], key: str) -> Any:
    """The value under a key. Raises ValueError where the partial has none."""
    if key not in partial:
        there = ", ".join(map(repr, partial)) or "nothing"
        raise ValueError(f"{place} has no {key!r}; it has {there}")
    return partial[key]


def number_at(place: str, partial: Mapping[str, Any], key: str, *, least: float | None = None) -> float:
    """A finite number under a key, not below `least`. Raises ValueError."""
    value = finite(f"{place}: {key}", at(place, partial, key))
    if least is not None and value < least:
        raise ValueError(f"{place}: {key} is {value!r}, it must not be below {least:g}")
    return value


def finite(where: str, value: Any) -> float:
    """A finite number; no boolean, no text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{where} is {show(value)}, it must be a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{where} is {show(value)}, it must be finite")
    return value


def count_of(place: str, partial: Mapping[str, Any], key: str) -> int:
    """A whole number from 0 up under a key. Raises ValueError."""
    return whole(f"{place}: {key}", at(place, partial, key))


def whole(where: str, value: Any) -> int:
    """A whole number from 0 up. Raises ValueError, naming `where`."""
    number = finite(where, value)
    if number != int(number) or not 0 <= number <= _MAX_COUNT:
        raise ValueError(f"{where} is {show(value)}, it must be a whole number from 0 up")
    return int(number)


def mean_of(place: str, partial: Mapping[str, Any], key: str, number: int) -> float:
    """A partial's mean; of no records there is none, which a null or a missing key may say."""
    if number == 0 and partial.get(key) is None:
        return 0.0
    return number_at(place, partial, key)


def total_of(counts: Sequence[int], key: str) -> int:
    """The sum of counts. Raises ValueError where it is zero."""
    total = sum(counts)
    if total == 0:
        raise ValueError(f"every {key} is zero: there are no records")
    return total


def rounded_once(values: Iterable[float], what: str) -> float:
    """The sum, rounded once. Raises ValueError, naming `what`, where it overflows."""
    numbers = list(values)  # outside the try: an item may itself be refused with ValueError
    try:
        total = math.fsum(numbers)
    except (OverflowError, ValueError):  # fsum's words for an overflow, and for inf - inf after one
        total = math.inf
    if not math.isfinite(total):
        raise ValueError(f"{what} is too large for a floating-point number")
    return total


def show(value: Any) -> str:
    """A value in the words of a message."""
    if value is None:
        return "null"
    text = f"{value:.17g}" if isinstance(value, float) else repr(value)
    kinds = {str: "the text ", bool: "the boolean ", list: "the list ", dict: "the mapping "}
    return kinds.get(type(value), "") + (text if len(text) <= 60 else text[:57] + "...")
