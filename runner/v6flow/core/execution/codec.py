"""Events → plain JSON and back, by the types of their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import NODEFAULT, Struct

from v6flow.core.execution.events import EVENTS, Failure, Subtask

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.execution.events import Event
    from v6flow.core.json import Json

_DECODERS: dict[object, Callable[[Any], Any]] = {
    "Failure": lambda failure: Failure(**failure),
    "Failure | None": lambda failure: failure and Failure(**failure),
    "tuple[Subtask, ...]": lambda subtasks: tuple(Subtask(**subtask) for subtask in subtasks),
    "tuple[str, ...]": tuple,
    "tuple[tuple[str, tuple[str, ...]], ...]": lambda carried: tuple((step, tuple(names)) for step, names in carried),
}
"""For each type of a field that JSON does not keep, by its annotation: what makes it of the JSON."""


def _defaults(kind: type[Struct]) -> dict[str, Any]:
    """The fields of a record, each with its default, or NODEFAULT."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    return dict(zip(names, (NODEFAULT,) * (len(names) - len(defaults)) + defaults, strict=True))


_DEFAULTS = {kind: _defaults(kind) for kind in (*EVENTS.values(), Failure, Subtask)}
"""What equals its default is left out of a journal."""

_TYPES = {name: kind.__annotations__ for name, kind in EVENTS.items()}


def encode(event: Event) -> tuple[str, dict[str, Any], Json]:
    """An event as (its kind, its fields but for `value` as plain JSON, its `value`, None if it has none)."""
    data = _plain(event)
    data.pop("value", None)
    return type(event).__name__, data, getattr(event, "value", None)


def decode(kind: str, data: dict[str, Any], value: Json) -> Event:
    """The event that `encode` took apart. Raises KeyError for an unknown kind, TypeError for unknown fields."""
    types = _TYPES[kind]
    made = {name: _DECODERS[types[name]](item) if types.get(name) in _DECODERS else item for name, item in data.items()}
    if "value" in types:
        made["value"] = value
    return EVENTS[kind](**made)


def _plain(item: Any) -> Any:
    """A record as the mapping of its fields that differ from their defaults, a tuple of records as a list of them."""
    defaults = _DEFAULTS.get(type(item))
    if defaults is not None:
        return {name: _plain(part) for name, default in defaults.items() if (part := getattr(item, name)) != default}
    if type(item) is tuple and item and type(item[0]) is Subtask:
        return [_plain(each) for each in item]
    return item
