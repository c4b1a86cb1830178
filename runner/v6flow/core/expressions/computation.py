"""What the functions of expressions are given, checked and paid for."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.limits import MAX_STEPS
from v6flow.core.expressions.names import quoted
from v6flow.core.expressions.values import NUMBERS, Exhausted, Fault, Undefined, bounded, kind
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from v6flow.core.expressions.values import Steps


class Frame:
    """One evaluation: the scope, the paths that fill an expression's slots, and what it may still cost."""

    __slots__ = ("paths", "scope", "steps")

    def __init__(self, scope: Mapping[str, object], paths: Sequence[Steps] = (), steps: int = MAX_STEPS) -> None:
        self.scope = scope
        self.paths = paths
        self.steps = steps

    def spend(self, number: int) -> None:
        """Go over `number` items or characters, or refuse."""
        self.steps -= number
        if self.steps < 0:
            raise Exhausted("the expression goes over too many items", "expression-limit")


def items_of(frame: Frame, value: Any) -> list[Any]:
    """A list, paid for by its length. Raises Fault for anything else."""
    if type(value) is not list:
        hint = "take its keys or its values: `| values`" if type(value) is dict else None
        raise Fault(f"not a list but {kind(value)}", hint=hint)
    frame.spend(len(value))
    return value


def numbers_of(frame: Frame, value: Any, attribute: Any = None) -> list[Any]:
    """A list of numbers, or of what its items have under an attribute. Raises Fault."""
    items = taken(frame, items_of(frame, value), attribute)
    if not set(map(type, items)) <= NUMBERS:
        for index, item in enumerate(items):
            if type(item) not in NUMBERS:
                hint = None if attribute is not None or type(item) is not dict else "name a key: attribute='…'"
                raise Fault(f"item [{index}] is {kind(item)}, not a number", hint=hint)
    return items


def taken(frame: Frame, items: list[Any], attribute: Any) -> list[Any]:
    """What each item has under an attribute; the items where it is None. Raises Fault where one has nothing."""
    if attribute is None:
        return items
    frame.spend(len(items))
    taken = [pick(item, attribute) for item in items]
    for index, item in enumerate(taken):
        if isinstance(item, Undefined):
            raise Fault(f"item [{index}] {item.reason}", "expression-undefined", hint=item.hint)
    return taken


def pick(item: Any, attribute: Any) -> Any:
    """What an item has under an attribute: a key, an index, or keys joined by dots."""
    if type(attribute) is int:
        if type(item) is list and -len(item) <= attribute < len(item):
            return item[attribute]
        return Undefined(f"is {kind(item)} and has no [{attribute}]")
    if type(attribute) is not str:
        raise Fault(f"an attribute is a key or a whole number, not {kind(attribute)}")
    if type(item) is dict and attribute in item:
        return item[attribute]
    for name in attribute.split("."):
        if type(item) is not dict:
            return Undefined(f"has {kind(item)}, not a mapping, where {quoted(attribute)} is looked for")
        if name not in item:
            return Undefined(f"has no key {quoted(name)}", partial(suggestion, name, item))
        item = item[name]
    return item


def check_order(items: Iterable[Any]) -> None:
    """Refuse what has no order: mixtures, anything but numbers and texts, NaN."""
    kinds = set(map(type, items))
    if not (kinds <= NUMBERS or kinds <= {str}):
        words = sorted({kind(item) for item in items})
        raise Fault(f"only numbers, or only texts, have an order: here are {' and '.join(words)}")
    if float in kinds and any(item != item for item in items):  # noqa: PLR0124 - only NaN differs from itself
        raise Fault("NaN has no place in an order")


def total(items: list[Any]) -> Any:
    """The exact sum of numbers, rounded once if there are floats among them. Raises Fault."""
    if float not in set(map(type, items)):
        return bounded(sum(items), "the sum")
    whole = sum(item for item in items if type(item) is int)
    parts = [item for item in items if type(item) is float]
    try:
        while whole:  # 53 bits at a time, so that nothing is rounded before the end
            parts.append(float(whole))
            whole -= int(parts[-1])
        return bounded(math.fsum(parts), "the sum")
    except (OverflowError, ValueError):
        raise Fault("the sum is not a finite number") from None


def check_number(value: Any) -> None:
    """Refuse what is no number. Raises Fault."""
    if type(value) not in NUMBERS:
        hint = "a boolean is no number: write `1 if … else 0`" if type(value) is bool else None
        raise Fault(f"not a number but {kind(value)}", hint=hint)


def calculate(function: Callable[..., float], *numbers: Any) -> Any:
    """What a function of `math` yields. Raises Fault where that is no finite number."""
    for number in numbers:
        check_number(number)
    try:
        return bounded(function(*numbers))
    except (ValueError, ZeroDivisionError):
        raise Fault("not defined for this number") from None
    except OverflowError:
        raise Fault("the result is too large", "expression-limit") from None


def mapping_of(frame: Frame, value: Any) -> dict[str, Any]:
    """A mapping, paid for by its length. Raises Fault for anything else."""
    if type(value) is not dict:
        raise Fault(f"not a mapping but {kind(value)}")
    frame.spend(len(value))
    return value


def required(attribute: Any) -> Any:
    """An attribute that is not null. Raises Fault."""
    if attribute is None:
        raise Fault("the attribute is null, not a key")
    return attribute


def part_of(frame: Frame, value: Any, bounds: list[Any]) -> Any:
    """A part of a list or text, paid for by its length. Raises Fault."""
    if type(value) not in (list, str):
        raise Fault(f"a slice is taken of a list or a text, not of {kind(value)}")
    for bound in bounds:
        if bound is not None and type(bound) is not int:
            raise Fault(f"the bounds of a slice are whole numbers, not {kind(bound)}")
    if bounds[2] == 0:
        raise Fault("the step of a slice is 0")
    part = value[slice(*bounds)]
    frame.spend(len(part))
    return part
