"""What the operators and tests do with JSON values: numbers, texts and lists each among themselves."""

from __future__ import annotations

import operator
from functools import partial
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.limits import MAX_BITS, MAX_ITEMS, MAX_TEXT
from v6flow.core.expressions.values import NUMBERS, SCALARS, Fault, Undefined, bounded, identity, kind

if TYPE_CHECKING:
    from collections.abc import Callable


def compute(symbol: str, calculate: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """A number from two, if it is a finite one."""
    if type(a) not in NUMBERS or type(b) not in NUMBERS:
        raise Fault(f"{symbol} takes two numbers, not {kind(a)} and {kind(b)}", hint=_remedy(symbol, a, b))
    try:
        return bounded(calculate(a, b), f"the result of {symbol}")
    except ZeroDivisionError:
        raise Fault("division by zero" if symbol != "**" else "zero to a negative power") from None
    except OverflowError:
        raise Fault(f"the result of {symbol} is too large", "expression-limit") from None


def _remedy(symbol: str, a: Any, b: Any) -> str | None:
    if bool in (type(a), type(b)):
        return "a boolean is no number: write `1 if … else 0`"
    if symbol == "+" and str in (type(a), type(b)):
        return "write ~ to join texts with numbers"
    if symbol in ("*", "%") and str in (type(a), type(b)):
        return "texts are neither repeated nor formatted: join them with ~"
    return None


def add(a: Any, b: Any) -> Any:
    """Numbers are added; two texts, or two lists, are put behind each other."""
    if type(a) in NUMBERS and type(b) in NUMBERS:
        return compute("+", operator.add, a, b)
    if type(a) is type(b) and type(a) in (str, list):
        if len(a) + len(b) > (MAX_TEXT if type(a) is str else MAX_ITEMS):
            raise Fault(f"{kind(a)} longer than an expression may make", "expression-limit")
        return a + b
    return compute("+", operator.add, a, b)


def power(a: Any, b: Any) -> Any:
    """A power; how large it becomes is judged before it is computed."""
    if type(a) is int and type(b) is int and b > 0 and (a.bit_length() - 1) * b > MAX_BITS:
        raise Fault("the result of ** has too many digits", "expression-limit")
    return compute("**", operator.pow, a, b)


def negate(a: Any) -> Any:
    """The number with the other sign."""
    return compute("-", operator.sub, 0, a) if type(a) is int else compute("*", operator.mul, -1.0, a)


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON; 1 and 1.0 are, 1 and true are not."""
    if type(a) is type(b) and type(a) in SCALARS:
        return bool(a == b)
    return identity(a) == identity(b)


def _ordered(symbol: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def judge(a: Any, b: Any) -> bool:
        both_texts = type(a) is str and type(b) is str
        if not both_texts and not (type(a) in NUMBERS and type(b) in NUMBERS):
            raise Fault(f"{symbol} compares two numbers or two texts, not {kind(a)} and {kind(b)}")
        if a != a or b != b:  # noqa: PLR0124 - only NaN differs from itself
            raise Fault(f"{symbol} cannot compare with NaN: it is neither larger nor smaller")
        return compare(a, b)

    return judge


def contains(a: Any, b: Any) -> bool:
    """Whether `a` is an item of the list, a key of the mapping, or a part of the text `b`."""
    if type(b) in (list, tuple):
        wanted = identity(a)
        return any(identity(item) == wanted for item in b)
    if type(b) in (str, dict):
        if type(a) is not str:
            raise Fault(f"in looks for a text in {kind(b)}, not for {kind(a)}")
        return a in b
    raise Fault(f"in looks into a list, a mapping or a text, not into {kind(b)}")


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": add,
    "Sub": partial(compute, "-", operator.sub),
    "Mul": partial(compute, "*", operator.mul),
    "Div": partial(compute, "/", operator.truediv),
    "FloorDiv": partial(compute, "//", operator.floordiv),
    "Mod": partial(compute, "%", operator.mod),
    "Pow": power,
}
"""What each arithmetic node of the tree computes."""

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": equal,
    "ne": lambda a, b: not equal(a, b),
    "lt": _ordered("<", operator.lt),
    "lteq": _ordered("<=", operator.le),
    "gt": _ordered(">", operator.gt),
    "gteq": _ordered(">=", operator.ge),
    "in": contains,
    "notin": lambda a, b: not contains(a, b),
}
"""What each comparison of the tree finds."""

TESTS: dict[str, Callable[[Any], bool]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "number": lambda value: type(value) in NUMBERS,
    "integer": lambda value: type(value) is int,
    "float": lambda value: type(value) is float,
    "string": lambda value: type(value) is str,
    "list": lambda value: type(value) is list,
    "mapping": lambda value: type(value) is dict,
}
"""What each word after `is` and `is not` finds."""
