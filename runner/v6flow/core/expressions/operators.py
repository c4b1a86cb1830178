"""What the operators do with JSON values: numbers, texts and lists each among themselves."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.limits import MAX_BITS, MAX_ITEMS, MAX_TEXT
from v6flow.core.expressions.values import NUMBERS, SCALARS, Fault, bounded, identity, kind

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


def subtract(a: Any, b: Any) -> Any:
    """The difference of two numbers."""
    return compute("-", operator.sub, a, b)


def multiply(a: Any, b: Any) -> Any:
    """The product of two numbers."""
    return compute("*", operator.mul, a, b)


def divide(a: Any, b: Any) -> Any:
    """The quotient of two numbers, always a float."""
    return compute("/", operator.truediv, a, b)


def floor_divide(a: Any, b: Any) -> Any:
    """The quotient rounded down."""
    return compute("//", operator.floordiv, a, b)


def modulo(a: Any, b: Any) -> Any:
    """What is left by `//`, with the sign of the divisor."""
    return compute("%", operator.mod, a, b)


def power(a: Any, b: Any) -> Any:
    """A power; how large it becomes is judged before it is computed."""
    if type(a) is int and type(b) is int and b > 0 and (a.bit_length() - 1) * b > MAX_BITS:
        raise Fault("the result of ** has too many digits", "expression-limit")
    return compute("**", operator.pow, a, b)


def negate(a: Any) -> Any:
    """The number with the other sign."""
    return subtract(0, a) if type(a) is int else multiply(-1.0, a)


def keep_sign(a: Any) -> Any:
    """The number as it is."""
    return compute("+", operator.add, 0, a) if type(a) not in NUMBERS else a


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON; 1 and 1.0 are, 1 and true are not."""
    if type(a) is type(b) and type(a) in SCALARS:
        return bool(a == b)
    return identity(a) == identity(b)


def unequal(a: Any, b: Any) -> bool:
    """Whether two values differ."""
    return not equal(a, b)


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


def lacks(a: Any, b: Any) -> bool:
    """Whether `a` is not in `b`."""
    return not contains(a, b)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "FloorDiv": floor_divide,
    "Mod": modulo,
    "Pow": power,
}
"""What each arithmetic node of the tree computes."""

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": equal,
    "ne": unequal,
    "lt": _ordered("<", operator.lt),
    "lteq": _ordered("<=", operator.le),
    "gt": _ordered(">", operator.gt),
    "gteq": _ordered(">=", operator.ge),
    "in": contains,
    "notin": lacks,
}
"""What each comparison of the tree finds."""
