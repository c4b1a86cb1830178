"""The functions that an expression may call, each of which can are behind a `|` as well."""

from __future__ import annotations

import math
import operator
from functools import cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from v6flow.core import json
from v6flow.core.expressions import flow
from v6flow.core.expressions.computation import (
    Frame,
    calculate,
    check_number,
    check_order,
    items_of,
    mapping_of,
    numbers_of,
    pick,
    required,
    taken,
    total,
)
from v6flow.core.expressions.limits import MAX_RANGE, MAX_TEXT
from v6flow.core.expressions.names import HABITS, quoted
from v6flow.core.expressions.operators import COMPARISONS, compute
from v6flow.core.expressions.tree import constant
from v6flow.core.expressions.values import Fault, NotKnownYet, Undefined, as_text, bounded, identity, kind, plain, truth
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HIDDEN_IDS = "#organization_ids"
"""The entry of a scope that maps organizations' names to the server's ids; no expression can name it."""


_signature = cache(signature)  # which costs more than binding


class Function(Struct, frozen=True):
    """A function of the language: a line of documentation, what computes it, and what it makes of answers.

    The line is its usage, a colon, what it yields. `choices` lists the words that an argument may be, so that a wrong
    one is found when the file is read. The first argument may be undefined if it is called `may_be_missing`. What
    `varies` uses something of the scope that the expression does not name.
    """

    doc: str
    compute: Callable[..., Any]
    taint: flow.Rule
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    may_be_missing: str = ""
    varies: bool = False

    @property
    def name(self) -> str:
        """The name by which it is called."""
        return self.doc.partition("(")[0]

    def bind(self, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Which argument is given for which parameter. Raises Fault if they do not fit."""
        try:
            return dict(_signature(self.compute).bind(None, *positional, **keywords).arguments)
        except TypeError as error:
            message, usage = f"called with the wrong arguments ({error})", self.doc.partition(":")[0]
            raise Fault(message, "expression-function", hint=f"write {usage}") from None

    def check_choices(self, given: Mapping[str, Any]) -> None:
        """Refuse a constant argument that is none of the words there are. Raises Fault."""
        for parameter, choices in self.choices.items():
            word = constant(given.get(parameter))
            if word is not None and word not in choices:
                message = f"{self.name} has no {str(word)[:60]!r}: it has {' '.join(choices)}"
                hint = suggestion(str(word), choices)
                raise Fault(message, "expression-function", offset=given[parameter].lineno, hint=hint)


FUNCTIONS: dict[str, Function] = {}
"""The functions and filters by their names."""


def _function(doc: str, taint: flow.Rule, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare what is computed by the function below as one of the language's."""

    def declare(compute: Callable[..., Any]) -> Callable[..., Any]:
        declared = Function(doc, compute, taint, **more)
        FUNCTIONS[declared.name] = declared
        return compute

    return declare


@_function("abs(number): the number without its sign", flow.kept)
def _abs(_: Frame, number: Any) -> Any:
    check_number(number)
    return abs(number)


def _extreme(choose: Callable[..., Any], frame: Frame, items: Any, *more: Any, attribute: Any = None) -> Any:
    candidates = [items, *more] if more else items_of(frame, items)
    if not candidates:
        raise Fault("the list is empty")
    measured = taken(frame, candidates, attribute)
    check_order(measured)
    return candidates[choose(range(len(measured)), key=measured.__getitem__)]


_function("min(list): the smallest; min(a, b, …) too; attribute='n': the item with the smallest n", flow.extreme)(
    partial(_extreme, min)
)
_function("max(list): the largest; max(a, b, …) too; attribute='n': the item with the largest n", flow.extreme)(
    partial(_extreme, max)
)


@_function("sum(list, attribute='n'): exact for integers, rounded once for floats; 0 of nothing", flow.reduced)
def _sum(frame: Frame, items: Any, attribute: Any = None) -> Any:
    return total(numbers_of(frame, items, attribute))


@_function("mean(list, attribute='n'): the sum over the number of items, which is not 0", flow.reduced)
def _mean(frame: Frame, items: Any, *, attribute: Any = None) -> Any:
    numbers = numbers_of(frame, items, attribute)
    if not numbers:
        raise Fault("the list is empty")
    return compute("/", operator.truediv, total(numbers), len(numbers))


@_function("dot(list, list): the sum of the products of two lists of the same length", flow.reduced)
def _dot(frame: Frame, a: Any, b: Any) -> Any:
    left, right = numbers_of(frame, a), numbers_of(frame, b)
    if len(left) != len(right):
        raise Fault(f"the lists have {len(left)} and {len(right)} items, not as many")
    return total([compute("*", operator.mul, x, y) for x, y in zip(left, right, strict=True)])


@_function("length(value): how many items, keys or characters there are", flow.counted)
def _length(_: Frame, value: Any) -> int:
    if type(value) not in (list, str, dict):
        raise Fault(f"not a list, a mapping or a text but {kind(value)}")
    return len(value)


@_function("round(number, digits): halves to even; to an integer if no digits are given", flow.kept)
def _round(_: Frame, number: Any, digits: Any = None) -> Any:
    check_number(number)
    if digits is not None and (type(digits) is not int or abs(digits) > 400):
        raise Fault("the digits are a whole number between -400 and 400")
    if type(number) is float:
        bounded(number, "the number")
    try:
        return bounded(round(number, digits))
    except OverflowError:
        raise Fault("the result is too large", "expression-limit") from None


@_function("sqrt(number): the square root", flow.kept)
def _sqrt(_: Frame, number: Any) -> Any:
    return calculate(math.sqrt, number)


@_function("log(number, base): the logarithm, the natural one if no base is given", flow.kept)
def _log(_: Frame, number: Any, base: Any = None) -> Any:
    return calculate(math.log, *([number] if base is None else [number, base]))


@_function("exp(number): e to this power", flow.kept)
def _exp(_: Frame, number: Any) -> Any:
    return calculate(math.exp, number)


@_function("zip(list, list, …): lists of all first items, all second ones, …; of one length", flow.paired)
def _zip(frame: Frame, items: Any, *more: Any) -> list[Any]:
    lists = [items_of(frame, each) for each in (items, *more)]
    lengths = [len(each) for each in lists]
    if len(set(lengths)) > 1:
        raise Fault(f"the lists have {' and '.join(map(str, lengths))} items, not as many")
    return [list(row) for row in zip(*lists, strict=True)]


@_function("range(stop): the integers from 0 to below stop; range(start, stop, step) too", flow.kept)
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


@_function("keys(mapping): its keys, in its order", flow.key_names)
def _keys(frame: Frame, mapping: Any) -> list[Any]:
    return list(mapping_of(frame, mapping))


@_function("values(mapping): its values, in its order", flow.unnamed)
def _values(frame: Frame, mapping: Any) -> list[Any]:
    return list(mapping_of(frame, mapping).values())


def _end(value: Any, index: int) -> Any:
    if type(value) not in (list, str):
        raise Fault(f"not a list or a text but {kind(value)}")
    return value[index] if value else Undefined(f"there is nothing in {kind(value)} that is empty")


@_function("first(list): the first item; that of an empty list is missing", flow.first)
def _first(_: Frame, items: Any) -> Any:
    return _end(items, 0)


@_function("last(list): the last item; that of an empty list is missing", flow.last)
def _last(_: Frame, items: Any) -> Any:
    return _end(items, -1)


@_function("json(value): its JSON text, without white space", flow.kept)
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


@_function("join(list, separator): a text of all items", flow.kept)
def _join(frame: Frame, items: Any, separator: Any = "") -> str:
    if type(separator) is not str:
        raise Fault(f"the separator is a text, not {kind(separator)}")
    texts = [_item_text(index, item) for index, item in enumerate(items_of(frame, items))]
    frame.spend(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _item_text(index: int, item: Any) -> str:
    try:
        return as_text(item)
    except Fault as fault:
        raise Fault(f"item [{index}]: {fault.message}", fault.rule, hint=fault.hint) from None


@_function("sort(list, attribute='n', reverse=true): numbers, or texts with A before a", flow.ordered)
def _sort(frame: Frame, items: Any, *, attribute: Any = None, reverse: Any = False) -> list[Any]:
    if type(reverse) is not bool:
        raise Fault(f"reverse is true or false, not {kind(reverse)}")
    given = items_of(frame, items)
    measured = taken(frame, given, attribute)
    check_order(measured)
    frame.spend(len(given) * max(1, len(given).bit_length()) // 4)
    return [given[index] for index in sorted(range(len(given)), key=measured.__getitem__, reverse=reverse)]


@_function("unique(list, attribute='n'): each item once, in the order of its first appearance", flow.chosen)
def _unique(frame: Frame, items: Any, *, attribute: Any = None) -> list[Any]:
    given = items_of(frame, items)
    kept: dict[object, Any] = {}
    for item, measured in zip(given, taken(frame, given, attribute), strict=True):
        kept.setdefault(identity(measured), item)
    return list(kept.values())


@_function(
    "default(value, other): other if value is missing; null is not missing", flow.either_of, may_be_missing="value"
)
def _default(_: Frame, value: Any, other: Any) -> Any:
    return other if isinstance(value, Undefined) else value


_NOTHING: Any = object()


@_function("map(list, attribute='n', default=0): what each item has under n", flow.mapped)
def _map(frame: Frame, items: Any, *, attribute: Any, default: Any = _NOTHING) -> list[Any]:
    given = items_of(frame, items)
    if default is _NOTHING:
        return list(taken(frame, given, required(attribute)))
    picked = [pick(item, required(attribute)) for item in given]
    return [default if isinstance(item, Undefined) else item for item in picked]


_SELECTIONS: dict[str, Callable[[Any, Any], bool]] = {
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
SELECT_TESTS = (*_SELECTIONS, *_ALONE, *_ALIASES)
"""The tests of selectattr; Jinja's words for the comparisons are taken too."""


@_function(
    "selectattr(list, 'n', '>', 3): the items whose n passes the test, or is true if there is none",
    flow.chosen,
    choices={"test": SELECT_TESTS},
)
def _selectattr(frame: Frame, items: Any, attribute: Any, test: Any = None, value: Any = _NOTHING) -> list[Any]:
    given = items_of(frame, items)
    frame.spend(len(given))
    test = _ALIASES.get(test, test) if type(test) is str else test
    if test is not None and test not in SELECT_TESTS:
        raise Fault(f"there is no test {quoted(str(test))}", "expression-function")
    if (test in _SELECTIONS) is not (value is not _NOTHING):
        raise Fault(f"the test {test} takes {'a' if test in _SELECTIONS else 'no'} value", "expression-function")
    if test in ("defined", "undefined"):
        return [
            item for item in given if isinstance(pick(item, required(attribute)), Undefined) is (test == "undefined")
        ]
    pairs = zip(given, taken(frame, given, required(attribute)), strict=True)
    if test is None:
        return [item for item, measured in pairs if truth(measured)]
    if test == "none":
        return [item for item, measured in pairs if measured is None]
    return [item for item, measured in pairs if _SELECTIONS[test](measured, value)]


@_function("groupby(list, 'n'): a list of {key, items}, in the order in which each n first appears", flow.chosen)
def _groupby(frame: Frame, items: Any, attribute: Any) -> list[Any]:
    given = items_of(frame, items)
    groups: dict[object, dict[str, Any]] = {}
    for item, key in zip(given, taken(frame, given, required(attribute)), strict=True):
        groups.setdefault(identity(key), {"key": key, "items": []})["items"].append(item)
    return list(groups.values())


@_function("organization_ids(names): the server's ids of organizations", flow.kept, varies=True)
def _organization_ids(frame: Frame, names: Any) -> Any:
    ids: Any = frame.scope.get(HIDDEN_IDS)
    if ids is None:
        raise NotKnownYet("the server's ids of organizations")
    if type(names) is str:
        return _organization_id(ids, names)
    return [_organization_id(ids, name) for name in items_of(frame, names)]


def _organization_id(ids: Mapping[str, int], name: Any) -> int:
    if type(name) is not str:
        raise Fault(f"an organization is named by a text, not by {kind(name)}")
    if name not in ids:
        raise Fault(f"no organization {quoted(name)}", hint=suggestion(name, ids))
    return ids[name]


def function(name: str, offset: int) -> Function:
    """The function of a name. Raises Fault, with what to write instead, if there is none."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    hint = HABITS.get(name) or suggestion(name, FUNCTIONS) or f"there are {', '.join(FUNCTIONS)}"
    raise Fault(f"there is no function or filter {name[:60]}", "expression-function", offset=offset, hint=hint)
