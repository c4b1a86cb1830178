"""The schema of federation files, put together from what all have in common and a fragment of each backend.

A fragment is `federation.schema.json` in the folder of a backend: `title` (what such a federation is, in a few words),
`description`, `required`, `properties`, and `$defs` for its own definitions. What all federation files have, such as
`defaults`, is added, and a fragment may refer to the definitions of `backends/federation.schema.json`.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow.backends import BACKENDS, find, known
from v6flow.plugins import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAGMENT = "federation.schema.json"

_HERE = Path(__file__).parent
_WIDTH = 110  # characters of a line of the schema as a text


@functools.cache
def built_in() -> dict[str, Any]:
    """The schema with the built-in backends."""
    return _composed({name: _read(_HERE / place.split(".")[-2]) for name, place in BACKENDS.items()})


def schema_for(backend: object) -> dict[str, Any]:
    """The schema for a file that names this backend, which may be one of another package, or none at all.

    Raises PluginError if another package declares it and it cannot be used.
    """
    if not isinstance(backend, str) or backend in BACKENDS:
        return built_in()
    if (federation := find(backend)) is not None:
        return _with(backend, Path(sys.modules[federation.__module__].__file__ or "").parent)
    return _naming(tuple(known()))


@functools.cache
def _with(backend: str, folder: Path) -> dict[str, Any]:
    """The schema of files of one backend of another package."""
    try:
        return _composed({backend: _read(folder)})
    except (OSError, ValueError, KeyError) as error:
        why = f"{type(error).__name__}: {error}"
        raise PluginError(f"the schema {folder / FRAGMENT} of the backend {backend} cannot be used: {why}") from error


@functools.cache
def _naming(names: tuple[str, ...]) -> dict[str, Any]:
    """The schema with the built-in backends, which names all there are."""
    schema = built_in()
    backend = {**schema["properties"]["backend"], "enum": list(names)}
    return {**schema, "properties": {**schema["properties"], "backend": backend}}


def text(value: Any, indent: str = "", before: int = 0) -> str:
    """A schema as JSON for people: what fits is on one line; `before` is how many characters precede it there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(line) < _WIDTH or not isinstance(value, (dict, list)) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        keys = {json.dumps(key, ensure_ascii=False) + ": ": each for key, each in value.items()}
        parts = [inner + key + text(each, inner, len(key)) for key, each in keys.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + text(each, inner) for each in value) + f"\n{indent}]"


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / FRAGMENT).read_text("utf-8"))
    return found


def _composed(fragments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of federation files of some backends. Raises ValueError where definitions have the same name."""
    whole = _read(_HERE)
    common, shared = whole.pop("$defs"), whole.pop("x-shared")
    first = whole["properties"]
    kinds = {name: f"`{name}`: {fragment['title']}." for name, fragment in fragments.items()}
    definitions: dict[str, Any] = {}
    for name, fragment in fragments.items():
        definitions[name] = {
            "description": fragment["description"],
            "type": "object",
            "required": fragment.get("required", []),
            "additionalProperties": False,
            "properties": {
                **first,
                "backend": {"description": kinds[name], "const": name},
                **fragment["properties"],
                **shared,
            },
        }
    for part in [*(fragment.get("$defs", {}) for fragment in fragments.values()), common]:
        if twice := definitions.keys() & part.keys():
            raise ValueError(f"there is another definition of {', '.join(sorted(twice))}")
        definitions.update(part)
    return {
        **whole,
        "properties": {**first, "backend": {"description": " ".join(kinds.values()), "enum": list(fragments)}},
        "allOf": [
            {
                "if": {"properties": {"backend": {"const": name}}, "required": ["backend"]},
                "then": {"$ref": f"#/$defs/{name}"},
            }
            for name in fragments
        ],
        "$defs": definitions,
    }
