"""How the fields of views are shown in JSON, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v6flow.core.json import Json


def shown(meaning: str, *, name: str = "", of: str = "", flat: bool = False) -> Mapping[str, Any]:
    """The metadata of a view's field: its meaning in one line of Markdown, and how JSON shows it.

    `name` is its key, if that differs from the field's. With `of` it is left out where it is None; `of` describes the
    cases where it is there. The keys of a `flat` view stand among those of the view that holds it.
    """
    return {"meaning": meaning, "name": name, "of": of, "flat": flat}


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
    """What all views share."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """It as a JSON document shows it."""
        document: dict[str, Any] = _fields(self)
        return document


def _fields(view: Any) -> dict[str, Json]:
    document: dict[str, Json] = {}
    for each in fields(view):
        held, how = getattr(view, each.name), each.metadata
        if how.get("flat"):
            document |= as_json(held) if held is not None else {}
        elif held is not None or not how.get("of"):
            document[how.get("name") or each.name] = as_json(held)
    return document
