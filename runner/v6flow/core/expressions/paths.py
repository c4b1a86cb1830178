"""Following a path from a root through names, keys and indices to its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.names import place, quoted
from v6flow.core.expressions.values import Fault, Undefined, kind
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Steps = tuple["str | int | None", ...]
"""A root and what follows it."""

_ABSENT = object()


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
    """What stands in `value` under one name, key or index; `where` is the path to `value`, for messages."""
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
