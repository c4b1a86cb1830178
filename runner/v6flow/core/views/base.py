"""How the fields of views are shown in JSON, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v6flow.core.json import Json


OPTIONAL: Mapping[str, Any] = {"optional": True}
"""The metadata of a field that JSON leaves out where it is None."""

FLAT: Mapping[str, Any] = {"flat": True}
"""The metadata of a view, or None, whose keys stand among those of the view that holds it."""


HIDDEN: Mapping[str, Any] = {"hidden": True}
"""The metadata of a field that JSON never shows."""


def renamed(key: str, *, optional: bool = False) -> Mapping[str, Any]:
    """The metadata of a field that has another name in JSON."""
    return {"name": key, "optional": optional}


@dataclass(frozen=True, slots=True)
class Given:
    """A plain value that may be null, in a field that is left out where it is None."""

    value: Json


def as_json(value: Any) -> Any:
    """A view, or a plain value with views in it, as plain JSON."""
    if isinstance(value, Given):
        return value.value
    if isinstance(value, View):
        return value.as_json()
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value


class View:
    """What all views share.

    The docstring of a view has a line for each field: `name: meaning`, and `name (cases): meaning` for one that is
    there in these cases only. The tables in docs/output.md are made of them.
    """

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """It as a JSON document shows it."""
        document: dict[str, Any] = _fields(self)
        return document


def _fields(view: Any) -> dict[str, Json]:
    document: dict[str, Json] = {}
    for each in fields(view):
        held, how = getattr(view, each.name), each.metadata
        if "flat" in how:
            document |= as_json(held) if held is not None else {}
        elif "hidden" not in how and (held is not None or not how.get("optional")):
            document[how.get("name", each.name)] = as_json(held)
    return document
