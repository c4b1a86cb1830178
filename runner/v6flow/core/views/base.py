"""How the fields of views are shown in JSON, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from v6flow.core.json import Json


class Given(Struct, frozen=True):
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


class View(Struct, frozen=True):
    """What all views share.

    The docstring of a view has a line for each field: `name: meaning`, and `name (cases): meaning` for one that is
    there in these cases only. The tables in docs/output.md are made of them.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    """The fields that JSON leaves out where they are None."""
    FLAT: ClassVar[tuple[str, ...]] = ()
    """The fields that hold a view, or None, whose keys stand among those of this one."""
    HIDDEN: ClassVar[tuple[str, ...]] = ()
    """The fields that JSON never shows."""
    NAMES: ClassVar[Mapping[str, str]] = {}
    """The names in JSON of the fields that have another there."""

    def as_json(self) -> dict[str, Any]:
        """It as a JSON document shows it."""
        document: dict[str, Any] = {}
        for name in self.__struct_fields__:
            held = getattr(self, name)
            if name in self.FLAT:
                document |= as_json(held) if held is not None else {}
            elif name not in self.HIDDEN and (held is not None or name not in self.OPTIONAL):
                document[self.NAMES.get(name, name)] = as_json(held)
        return document
