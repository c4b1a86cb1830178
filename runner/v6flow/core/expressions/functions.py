"""The functions that an expression may call, each of which can stand behind a `|` as well."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from v6flow.core import json
from v6flow.core.expressions.limits import MAX_RANGE, MAX_STEPS, MAX_TEXT
from v6flow.core.expressions.names import quoted
from v6flow.core.expressions.operators import COMPARISONS, compute
from v6flow.core.expressions.values import (
    NUMBERS,
    Exhausted,
    Fault,
    NotKnownYet,
    Undefined,
    as_text,
    bounded,
    identity,
    kind,
    plain,
    truth,
)
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from v6flow.core.expressions.paths import Steps

HIDDEN_IDS = "#organization_ids"
"""The entry of a scope that maps organizations' names to the server's ids; no expression can name it."""


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
            raise Exhausted("the expression goes over more items than it may", "expression-limit")


def _list(frame: Frame, value: Any) -> list[Any]:
    if type(value) is not list:
        hint = "take its keys or its values: `| values`" if type(value) is dict else None
        raise Fault(f"not a list but {kind(value)}", hint=hint)
    frame.spend(len(value))
    return value


def _numbers(frame: Frame, value: Any, attribute: Any = None) -> list[Any]:
    items = _taken(frame, _list(frame, value), attribute)
    if not set(map(type, items)) <= NUMBERS:
        for index, item in enumerate(items):
            if type(item) not in NUMBERS:
                hint = (
                    None if attribute is not None or type(item) is not dict else "say which of its keys: attribute='…'"
                )
                raise Fault(f"item [{index}] is {kind(item)}, not a number", hint=hint)
    return items


def _taken(frame: Frame, items: list[Any], attribute: Any) -> list[Any]:
    if attribute is None:
        return items
    frame.spend(len(items))
    taken = [_pick(item, attribute) for item in items]
    for index, item in enumerate(taken):
        if isinstance(item, Undefined):
            raise Fault(f"item [{index}] {item.reason}", "expression-undefined", hint=item.hint)
    return taken


def _pick(item: Any, attribute: Any) -> Any:
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


def _orderable(items: Iterable[Any]) -> None:
    """Refuse what has no order: mixtures, anything but numbers and texts, NaN."""
    kinds = set(map(type, items))
    if not (kinds <= NUMBERS or kinds <= {str}):
        words = sorted({kind(item) for item in items})
        raise Fault(f"only numbers, or only texts, have an order: here are {' and '.join(words)}")
    if float in kinds and any(item != item for item in items):  # noqa: PLR0124 - only NaN differs from itself
        raise Fault("NaN has no place in an order")


def _total(items: list[Any]) -> Any:
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


def _abs(_: Frame, number: Any) -> Any:
    _require_number(number)
    return abs(number)


def _require_number(value: Any) -> None:
    if type(value) not in NUMBERS:
        hint = "a boolean is no number: write `1 if … else 0`" if type(value) is bool else None
        raise Fault(f"not a number but {kind(value)}", hint=hint)


def _least(frame: Frame, items: Any, *more: Any, attribute: Any = None) -> Any:
    return _extreme(frame, min, items, more, attribute)


def _greatest(frame: Frame, items: Any, *more: Any, attribute: Any = None) -> Any:
    return _extreme(frame, max, items, more, attribute)


def _extreme(frame: Frame, choose: Callable[..., Any], items: Any, more: tuple[Any, ...], attribute: Any) -> Any:
    candidates = [items, *more] if more else _list(frame, items)
    if not candidates:
        raise Fault("the list is empty")
    measured = _taken(frame, candidates, attribute)
    _orderable(measured)
    return candidates[choose(range(len(measured)), key=measured.__getitem__)]


def _sum(frame: Frame, items: Any, attribute: Any = None) -> Any:
    return _total(_numbers(frame, items, attribute))


def _mean(frame: Frame, items: Any, *, attribute: Any = None) -> Any:
    numbers = _numbers(frame, items, attribute)
    if not numbers:
        raise Fault("the list is empty")
    return compute("/", operator.truediv, _total(numbers), len(numbers))


def _dot(frame: Frame, a: Any, b: Any) -> Any:
    left, right = _numbers(frame, a), _numbers(frame, b)
    if len(left) != len(right):
        raise Fault(f"the lists have {len(left)} and {len(right)} items, not as many")
    return _total([compute("*", operator.mul, x, y) for x, y in zip(left, right, strict=True)])


def _length(_: Frame, value: Any) -> int:
    if type(value) not in (list, str, dict):
        raise Fault(f"not a list, a mapping or a text but {kind(value)}")
    return len(value)


def _round(_: Frame, number: Any, digits: Any = None) -> Any:
    _require_number(number)
    if digits is not None and (type(digits) is not int or abs(digits) > 400):
        raise Fault("the digits are a whole number between -400 and 400")
    if type(number) is float:
        bounded(number, "the number")
    try:
        return bounded(round(number, digits))
    except OverflowError:
        raise Fault("the result is too large", "expression-limit") from None


def _calculate(calculate: Callable[..., float], *numbers: Any) -> Any:
    for number in numbers:
        _require_number(number)
    try:
        return bounded(calculate(*numbers))
    except (ValueError, ZeroDivisionError):
        raise Fault("not defined for this number") from None
    except OverflowError:
        raise Fault("the result is too large", "expression-limit") from None


def _sqrt(_: Frame, number: Any) -> Any:
    return _calculate(math.sqrt, number)


def _log(_: Frame, number: Any, base: Any = None) -> Any:
    return _calculate(math.log, *([number] if base is None else [number, base]))


def _exp(_: Frame, number: Any) -> Any:
    return _calculate(math.exp, number)


def _zip(frame: Frame, items: Any, *more: Any) -> list[Any]:
    lists = [_list(frame, each) for each in (items, *more)]
    lengths = [len(each) for each in lists]
    if len(set(lengths)) > 1:
        raise Fault(f"the lists have {' and '.join(map(str, lengths))} items, not as many")
    return [list(row) for row in zip(*lists, strict=True)]


def _range(frame: Frame, start: Any, stop: Any = None, step: Any = 1) -> list[int]:
    first, last = (0, start) if stop is None else (start, stop)
    for number in (first, last, step):
        if type(number) is not int:
            raise Fault(f"not a whole number but {kind(number)}")
    if step == 0:
        raise Fault("the step is 0: it would never end")
    numbers = range(first, last, step)
    if (last - first) // step > MAX_RANGE:
        raise Fault(f"more than {MAX_RANGE} numbers", "expression-limit")
    frame.spend(len(numbers))
    return list(numbers)


def _mapping(frame: Frame, value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise Fault(f"not a mapping but {kind(value)}")
    frame.spend(len(value))
    return value


def _keys(frame: Frame, mapping: Any) -> list[Any]:
    return list(_mapping(frame, mapping))


def _values(frame: Frame, mapping: Any) -> list[Any]:
    return list(_mapping(frame, mapping).values())


def _end(value: Any, index: int) -> Any:
    if type(value) not in (list, str):
        raise Fault(f"not a list or a text but {kind(value)}")
    return value[index] if value else Undefined(f"there is nothing in {kind(value)} that is empty")


def _first(_: Frame, items: Any) -> Any:
    return _end(items, 0)


def _last(_: Frame, items: Any) -> Any:
    return _end(items, -1)


def _json(frame: Frame, value: Any) -> str:
    checked = plain(value)
    _measure(frame, checked)
    text = json.dumps(checked)
    if len(text) > MAX_TEXT:
        raise Fault(f"a text longer than {MAX_TEXT} characters", "expression-limit")
    return text


def _measure(frame: Frame, value: Any) -> None:
    """Spend what is in a value before a text is made of it."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        frame.spend(1 + len(item) if type(item) in (str, list, dict) else 1)
        if type(item) is list:
            waiting.extend(item)
        elif type(item) is dict:
            frame.spend(sum(map(len, item)))
            waiting.extend(item.values())
        elif type(item) is int:
            bounded(item, "a number")


def _join(frame: Frame, items: Any, separator: Any = "") -> str:
    if type(separator) is not str:
        raise Fault(f"the separator is a text, not {kind(separator)}")
    texts = [_item_text(index, item) for index, item in enumerate(_list(frame, items))]
    frame.spend(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _item_text(index: int, item: Any) -> str:
    try:
        return as_text(item)
    except Fault as fault:
        raise Fault(f"item [{index}]: {fault.message}", fault.rule, hint=fault.hint) from None


def _sort(frame: Frame, items: Any, *, attribute: Any = None, reverse: Any = False) -> list[Any]:
    if type(reverse) is not bool:
        raise Fault(f"reverse is true or false, not {kind(reverse)}")
    given = _list(frame, items)
    measured = _taken(frame, given, attribute)
    _orderable(measured)
    frame.spend(len(given) * max(1, len(given).bit_length()) // 4)
    return [given[index] for index in sorted(range(len(given)), key=measured.__getitem__, reverse=reverse)]


def _unique(frame: Frame, items: Any, *, attribute: Any = None) -> list[Any]:
    given = _list(frame, items)
    kept: dict[object, Any] = {}
    for item, measured in zip(given, _taken(frame, given, attribute), strict=True):
        kept.setdefault(identity(measured), item)
    return list(kept.values())


def _default(_: Frame, value: Any, other: Any) -> Any:
    return other if isinstance(value, Undefined) else value


_NOTHING: Any = object()


def _map(frame: Frame, items: Any, *, attribute: Any, default: Any = _NOTHING) -> list[Any]:
    given = _list(frame, items)
    if default is _NOTHING:
        return list(_taken(frame, given, _required(attribute)))
    picked = [_pick(item, _required(attribute)) for item in given]
    return [default if isinstance(item, Undefined) else item for item in picked]


def _required(attribute: Any) -> Any:
    if attribute is None:
        raise Fault("the attribute is null, not a key")
    return attribute


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": COMPARISONS["eq"],
    "!=": COMPARISONS["ne"],
    "<": COMPARISONS["lt"],
    "<=": COMPARISONS["lteq"],
    ">": COMPARISONS["gt"],
    ">=": COMPARISONS["gteq"],
    "in": COMPARISONS["in"],
    "not in": COMPARISONS["notin"],
}
_ALIASES = {
    "eq": "==", "equalto": "==", "ne": "!=", "lt": "<", "lessthan": "<", "le": "<=",
    "gt": ">", "greaterthan": ">", "ge": ">=",
}  # fmt: skip
_ALONE = ("defined", "undefined", "none")
SELECT_TESTS = (*_TESTS, *_ALONE, *_ALIASES)
"""The tests of selectattr; Jinja's words for the comparisons are taken too."""


def _selectattr(frame: Frame, items: Any, attribute: Any, test: Any = None, value: Any = _NOTHING) -> list[Any]:
    given = _list(frame, items)
    frame.spend(len(given))
    test = _ALIASES.get(test, test) if type(test) is str else test
    if test is not None and test not in SELECT_TESTS:
        raise Fault(f"there is no test {quoted(str(test))}", "expression-function")
    if (test in _TESTS) is not (value is not _NOTHING):
        raise Fault(f"the test {test} takes {'a' if test in _TESTS else 'no'} value", "expression-function")
    if test in ("defined", "undefined"):
        return [
            item for item in given if isinstance(_pick(item, _required(attribute)), Undefined) is (test == "undefined")
        ]
    pairs = zip(given, _taken(frame, given, _required(attribute)), strict=True)
    if test is None:
        return [item for item, measured in pairs if truth(measured)]
    if test == "none":
        return [item for item, measured in pairs if measured is None]
    return [item for item, measured in pairs if _TESTS[test](measured, value)]


def _groupby(frame: Frame, items: Any, attribute: Any) -> list[Any]:
    given = _list(frame, items)
    groups: dict[object, dict[str, Any]] = {}
    for item, key in zip(given, _taken(frame, given, _required(attribute)), strict=True):
        groups.setdefault(identity(key), {"key": key, "items": []})["items"].append(item)
    return list(groups.values())


def _organization_ids(frame: Frame, names: Any) -> Any:
    ids: Any = frame.scope.get(HIDDEN_IDS)
    if ids is None:
        raise NotKnownYet("the server's ids of organizations")
    if type(names) is str:
        return _organization_id(ids, names)
    return [_organization_id(ids, name) for name in _list(frame, names)]


def _organization_id(ids: Mapping[str, int], name: Any) -> int:
    if type(name) is not str:
        raise Fault(f"an organization is named by a text, not by {kind(name)}")
    if name not in ids:
        raise Fault(f"no organization {quoted(name)}", hint=suggestion(name, ids))
    return ids[name]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language: how it is called and what it yields, in one line, and what computes it.

    `choices` lists the words that an argument may be, so that a wrong one is found when the file is read.
    """

    doc: str
    compute: Callable[..., Any]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def bind(self, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Which argument is given for which parameter. Raises Fault if they do not fit."""
        try:
            return dict(signature(self.compute).bind(None, *positional, **keywords).arguments)
        except TypeError as error:
            usage = self.doc.partition(":")[0]
            raise Fault(
                f"called with the wrong arguments ({error})", "expression-function", hint=f"write {usage}"
            ) from None


FUNCTIONS: dict[str, Function] = {
    "abs": Function("abs(number): the number without its sign", _abs),
    "min": Function("min(list): the smallest; min(a, b, …) too; attribute='n': the item with the smallest n", _least),
    "max": Function("max(list): the largest; max(a, b, …) too; attribute='n': the item with the largest n", _greatest),
    "sum": Function("sum(list, attribute='n'): exact for integers, rounded once for floats; 0 of nothing", _sum),
    "mean": Function("mean(list, attribute='n'): the sum over the number of items, which is not 0", _mean),
    "dot": Function("dot(list, list): the sum of the products of two lists of the same length", _dot),
    "length": Function("length(value): how many items, keys or characters there are", _length),
    "round": Function("round(number, digits): halves to even; to an integer if no digits are given", _round),
    "sqrt": Function("sqrt(number): the square root", _sqrt),
    "log": Function("log(number, base): the logarithm, the natural one if no base is given", _log),
    "exp": Function("exp(number): e to this power", _exp),
    "zip": Function("zip(list, list, …): lists of all first items, all second ones, …; of one length", _zip),
    "range": Function("range(stop): the integers from 0 to below stop; range(start, stop, step) too", _range),
    "keys": Function("keys(mapping): its keys, in its order", _keys),
    "values": Function("values(mapping): its values, in its order", _values),
    "first": Function("first(list): the first item; that of an empty list is missing", _first),
    "last": Function("last(list): the last item; that of an empty list is missing", _last),
    "json": Function("json(value): its JSON text, without white space", _json),
    "join": Function("join(list, separator): a text of all items", _join),
    "sort": Function("sort(list, attribute='n', reverse=true): numbers, or texts with A before a", _sort),
    "unique": Function("unique(list, attribute='n'): each once, where it first stands", _unique),
    "default": Function("default(value, other): other if value is missing; null is not missing", _default),
    "map": Function("map(list, attribute='n', default=0): what each item has under n", _map),
    "selectattr": Function(
        "selectattr(list, 'n', '>', 3): the items whose n passes the test, or is true if there is none",
        _selectattr,
        {"test": SELECT_TESTS},
    ),
    "groupby": Function("groupby(list, 'n'): a list of {key, items}, by where each n first stands", _groupby),
    "organization_ids": Function("organization_ids(names): the server's ids of organizations", _organization_ids),
}
"""The functions and filters, each with a line of documentation: its usage, a colon, what it yields."""

_IN_A_STEP = "a local step's function can change a text"

HABITS: dict[str, str] = {
    **dict.fromkeys(("list", "dict"), "leave it out: values are lists and mappings already"),
    **dict.fromkeys(("int", "float"), "leave it out: numbers are numbers already; round(x) makes an integer"),
    **dict.fromkeys(("string", "str"), "leave it out, or write text around the expression"),
    **dict.fromkeys(("upper", "lower", "title", "capitalize", "trim", "replace", "split", "format"), _IN_A_STEP),
    **dict.fromkeys(("tojson", "to_json"), "write json"),
    **dict.fromkeys(("count", "len", "size"), "write length"),
    **dict.fromkeys(("avg", "average"), "write mean"),
    "d": "write default",
    "items": "write zip(keys(x), values(x))",
    "sorted": "write sort",
    "pow": "write x ** y",
    "reverse": "write x[::-1]",
    "dictsort": "write sort(keys(x))",
    "e": "leave it out: nothing is escaped",
    "escape": "leave it out: nothing is escaped",
    "safe": "leave it out: nothing is escaped",
}
"""What to write instead of functions and filters that Jinja, Python or Ansible have."""
