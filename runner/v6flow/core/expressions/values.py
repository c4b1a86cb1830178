"""The values that expressions meet: plain JSON, names known only later, what is missing, and the paths to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from v6flow.core.expressions.limits import MAX_INTEGER
from v6flow.core.expressions.names import place, quoted
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from v6flow.core.json import Json
    from v6flow.core.language.problem import Path

Steps = tuple["str | int | None", ...]
"""A root and what follows it."""

_ABSENT = object()
NUMBERS = frozenset({int, float})
SCALARS = frozenset({type(None), bool, int, float, str})
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


class Undefined:
    """What is missing, and why; any use but default(…) and `is defined` is an error with its reason."""

    __slots__ = ("_near", "reason")

    def __init__(self, reason: str, near: Callable[[], str | None] | None = None) -> None:
        self.reason = reason
        self._near = near

    @property
    def hint(self) -> str | None:
        """The nearest right word, looked for only when it is asked for."""
        return self._near() if self._near else None

    def __repr__(self) -> str:
        return f"Undefined({self.reason!r})"


class Reference(Struct, frozen=True):
    """A path that an expression names.

    `path` is what follows the root; None stands for a computed subscript, where the path stops. `at` is the
    leaf within the compiled value. `guarded` says that it stands directly under default(…) or `is defined`,
    alone or as a branch of an `if`, so that it may be undefined.
    """

    root: str
    path: tuple[str | int | None, ...]
    at: Path
    guarded: bool


class ExpressionError(Exception):
    """An expression that cannot be read or evaluated.

    `at` is the leaf within the compiled value, `offset` the character in the leaf's text where what is at
    fault begins, `hint` the nearest right word or the remedy, and `rule` one of expression-syntax, -refused,
    -name, -function, -undefined, -value, -limit.
    """

    def __init__(self, message: str, *, at: Path, offset: int, hint: str | None, rule: str) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.offset = offset
        self.hint = hint
        self.rule = rule


class NotKnownYet(Exception):  # noqa: N818 - it says when, not that something is wrong
    """A namespace raises it for a value that exists only later."""


class Namespace(Protocol):
    """Names whose values are looked up when they are used, such as a step's."""

    def attribute(self, name: str) -> object:
        """A plain JSON value, another Namespace, or Undefined if there is none; or raises NotKnownYet."""
        ...

    def names(self) -> Iterable[str]:
        """The names there are, for the nearest right word."""
        ...


class Fault(Exception):  # noqa: N818 - it becomes an ExpressionError where the leaf is known
    """What is wrong in an expression; `offset` counts from its beginning, -1 if not yet known."""

    def __init__(
        self, message: str, rule: str = "expression-value", *, offset: int = -1, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule
        self.offset = offset
        self.hint = hint

    def located(self, offset: int) -> Fault:
        """The same with a place, if it had none."""
        if self.offset < 0:
            self.offset = offset
        return self


class Exhausted(Fault):
    """The expression has gone over more than it may."""


def present(value: Any, offset: int = -1) -> Any:
    """The value. Raises Fault where it is missing."""
    if isinstance(value, Undefined):
        raise Fault(value.reason, "expression-undefined", offset=offset, hint=value.hint)
    return value


def at(offset: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """What some work yields; a fault in it that has no place is at `offset`."""
    try:
        return work(*arguments)
    except Fault as fault:
        raise fault.located(offset) from None


def kind(value: object) -> str:
    """What a value is, in plain words."""
    if type(value) in _KINDS:
        return _KINDS[type(value)]
    return "a group of names" if hasattr(value, "attribute") else f"a foreign object ({type(value).__name__})"


def bounded(value: Any, what: str = "the result") -> Any:
    """A number that was computed, if it is finite and has no more digits than a JSON number may have."""
    if type(value) is float:
        if not math.isfinite(value):
            raise Fault(f"{what} is {value}, not a finite number")
    elif type(value) is int:
        if not -MAX_INTEGER < value < MAX_INTEGER:
            raise Fault(f"{what} has too many digits", "expression-limit")
    else:
        raise Fault(f"{what} is not a real number")
    return value


def as_text(value: Any) -> str:
    """A scalar as it is written into a text: shortest floats, true and false."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(bounded(value, "the number"))
    if type(value) is float:
        if not math.isfinite(value):
            raise Fault(f"{value} is not a finite number", hint="write `| json` if the text may say so")
        return repr(value)
    if value is None:
        raise Fault("null has no text", hint="write `| json` for the text null, or default another value")
    if type(value) in (list, tuple):
        raise Fault("a list has no text of its own", hint="write `| join(', ')` or `| json`")
    if type(value) is dict:
        raise Fault("a mapping has no text of its own", hint="write `| json`, or `| keys | join(', ')`")
    raise Fault(f"{kind(value)} has no text", hint=_name_one(value))


def truth(value: Any) -> bool:
    """Whether a value counts as true: all but false, null, 0, and what is empty."""
    if type(value) in _KINDS:
        return bool(value)
    raise Fault(f"{kind(value)} is neither true nor false", hint=_name_one(value))


def identity(value: Any) -> object:
    """Something hashable that is equal for equal values; unlike to Python, true is not 1 to JSON."""
    if type(value) is bool:
        return (bool, value)
    if type(value) in SCALARS:
        return value
    if type(value) in (list, tuple):
        return (list, tuple([identity(item) for item in value]))
    if type(value) is dict:
        return (dict, frozenset([(key, identity(item)) for key, item in value.items()]))
    raise Fault(f"{kind(value)} cannot be compared", hint=_name_one(value))


def plain(value: Any) -> Json:
    """The value, searched for what is not plain JSON; tuples become lists. What is plain is not copied."""
    if type(value) in SCALARS:
        return value  # type: ignore[no-any-return]  # a membership test narrows nothing
    waiting: list[Any] = [value]
    tuples = False
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            inner = item.values()
            if set(map(type, item)) - {str}:
                raise Fault("the value has a mapping whose keys are not texts")
        elif type(item) in (list, tuple):
            tuples = tuples or type(item) is tuple
            inner = item
        else:
            raise Fault(f"{kind(present(item))} is not a value", hint=_name_one(item))
        if not set(map(type, inner)) <= SCALARS:
            waiting.extend(each for each in inner if type(each) not in SCALARS)
    return _listed(value) if tuples else value  # type: ignore[no-any-return]  # searched just now


def _listed(value: Any) -> Any:
    if type(value) in (list, tuple):
        return [_listed(item) for item in value]
    if type(value) is dict:
        return {key: _listed(item) for key, item in value.items()}
    return value


def _name_one(value: Any) -> str | None:
    if not hasattr(value, "names"):
        return None
    names = sorted(value.names())[:8]
    return f"name one of its own: {', '.join(names)}" if names else "name one of its own"


# -------------------------------------------------------------------------------------------------------- paths


def follow(scope: Mapping[str, object], path: Steps) -> Any:
    """The value at the end of a static path, Undefined if anything on it is missing."""
    value: Any = scope.get(path[0], _ABSENT)  # type: ignore[arg-type]  # a root is a text
    if value is _ABSENT:
        known = ", ".join(sorted(name for name in scope if name.isidentifier()))
        return Undefined(f"{path[0]} is not known here: known are {known}")
    for position, name in enumerate(path[1:], 1):
        if type(value) is dict and name in value:
            value = value[name]
        else:
            value = enter(value, name, path[:position])
            if isinstance(value, Undefined):
                return value
    return list(value) if type(value) is tuple else value


def enter(value: Any, name: object, where: Steps) -> Any:
    """What is in `value` under one name, key or index; `where` is the path to `value`, for messages."""
    found = _found(value, name, where)
    return list(found) if type(found) is tuple else found


def _found(value: Any, name: object, where: Steps) -> Any:
    if type(value) is dict:
        return _key(value, name, where)
    if type(value) in (list, tuple, str):
        return _item(value, name, where)
    if isinstance(value, Undefined):
        return value
    if hasattr(value, "attribute"):
        return _attribute(value, name, where)
    return Undefined(f"{place(where)} is {kind(value)} and has no {_what(name)}")


def _key(value: dict[str, Any], name: object, where: Steps) -> Any:
    if type(name) is int:
        hint = f"a mapping's keys are texts: ['{name}']"
        return Undefined(f"{place(where)} is a mapping and has no item [{name}]", lambda: hint)
    if type(name) is not str:
        raise Fault(f"a mapping's key is a text, not {kind(name)}")
    if name in value:
        return value[name]
    return Undefined(f"{place(where)} has no key {quoted(name)}", _near(name, value))


def _item(value: Any, name: object, where: Steps) -> Any:
    if type(name) is str:
        hint = "take an item by [0], or what all items have by map(attribute='…')" if type(value) is not str else None
        return Undefined(f"{place(where)} is {kind(value)} and has no key {quoted(name)}", lambda: hint)
    if type(name) is not int:
        raise Fault(f"an item's number is a whole number, not {kind(name)}")
    if -len(value) <= name < len(value):
        return value[name]
    unit = "characters" if type(value) is str else "items"
    return Undefined(f"{place(where)} has {len(value)} {unit}, and no [{name}] (the first is [0])")


def _attribute(value: Any, name: object, where: Steps) -> Any:
    if type(name) is not str:
        return Undefined(f"{place(where)} has names, and no {_what(name)}")
    found = value.attribute(name)
    if isinstance(found, Undefined) and name not in value.names():
        return Undefined(found.reason, _near(name, value.names()))
    return found


def _near(name: str, names: Iterable[str]) -> Any:
    return lambda: suggestion(name, names)


def _what(name: object) -> str:
    return f"key {quoted(name)}" if isinstance(name, str) else f"item [{name}]"
