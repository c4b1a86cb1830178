"""The reference of file formats, as Markdown, made from their schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from v6flow.core.language.messages import choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Schema: TypeAlias = Mapping[str, Any]

HEAD = """\
# Reference

Every key of the files, what it takes, and its default: made from the schemas by
`v6flow schema --reference`. What it all means is in [language.md](language.md), [federation.md](federation.md) and
[server.md](server.md), [testing.md](testing.md).
"""

_TYPES = {
    "string": ("text", "texts"),
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "boolean": ("true or false", "true or false"),
    "array": ("a list", "lists"),
    "object": ("a mapping", "mappings"),
    "null": ("null", "null"),
}
"""Each type in words: one value of it, and several."""

_BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
}


def reference(schemas: Sequence[Schema]) -> str:
    """The page for the files with these schemas, in their order."""
    return "\n".join([HEAD, *(line for schema in schemas for line in _File(schema).lines())]).rstrip() + "\n"


class _File:
    """Writes what one schema says, each mapping of it once."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._name = str(schema["title"]).removeprefix("v6flow ").capitalize()
        self._waiting: list[tuple[str, Schema]] = []
        self._titles: dict[int, str] = {}

    def lines(self) -> Iterator[str]:
        yield f"## {self._name} files"
        yield ""
        yield str(self._schema["description"])
        yield ""
        if "allOf" in self._schema:  # one kind of file or the other
            for branch in self._schema["allOf"]:
                self._queue(branch["then"], "")
        else:
            yield from self._table(self._schema, "")
        done = 0
        while done < len(self._waiting):
            title, schema = self._waiting[done]
            done += 1
            yield f"### {title}"
            yield ""
            if "description" in schema:
                yield str(schema["description"])
                yield ""
            yield from self._table(_mapping_of(schema), title)

    def _table(self, schema: Schema, title: str) -> Iterator[str]:
        yield "| key | takes | default | |"
        yield "|---|---|---|---|"
        for key, value in schema["properties"].items():
            yield f"| {' | '.join(map(_escaped, self._row(schema, title, key, self._resolved(value, key))))} |"
        yield ""
        notes = [*_notes(schema)]
        if notes:
            yield from notes
            yield ""

    def _row(self, parent: Schema, title: str, key: str, value: Schema) -> tuple[str, str, str, str]:
        must = [*parent.get("required", ()), *(self._schema["required"] if "allOf" in self._schema else ())]
        required = "required" if key in must else ""
        built_in = _code(value["default"]) if "default" in value else required
        examples = ", ".join(map(_code, value.get("examples", ())))
        about = str(value.get("description", "")) + (f" Such as {examples}." if examples else "")
        return f"`{key}`", self._takes(value, f"{key} of {_bare(title)}" if title else key), built_in, about

    def _takes(self, value: Schema, name: str) -> str:
        """What a value may be, in words, with a link to the mapping that it may be."""
        told = self._words(value, name)
        if "](#" in told:
            return told
        mapping = self._mapping(value)
        if mapping is not None:
            return f"{told}: {self._link(mapping, name)}"
        for key, what in (("items", "item"), ("additionalProperties", "value")):
            inner = value.get(key)
            mapping = self._mapping(self._resolved(inner)) if isinstance(inner, dict) else None
            if mapping is not None:
                return f"{told}; each {what} may be {self._link(mapping, f'{what} of {name}')}"
        return told

    def _mapping(self, value: Schema) -> Schema | None:
        """What to link to where a value may be a mapping of known keys."""
        then = value.get("then", {})
        if "$ref" in then:
            return self._mapping(self._resolved(then))
        return value if "properties" in _mapping_of(value) else None

    def _link(self, value: Schema, name: str) -> str:
        title = self._queue(value, name)
        return f"[{title}](#{_anchor(title)})"

    def _words(self, value: Schema, name: str) -> str:
        expected = str(value.get("patternErrorMessage", ""))
        if "const" in value:
            return _code(value["const"])
        if "enum" in value:
            return choice([_code(each) for each in value["enum"]])
        if "else" in value:
            return f"{self._takes(self._resolved(value['else']), name)}, or {self._then(value, name)}"
        if expected.startswith("expected "):
            return expected.removeprefix("expected ")
        given = value.get("type", "array" if "items" in value else None)
        types = [given] if isinstance(given, str) else list(given or ())
        words = [self._type(value, each, name) for each in types]
        bounds = [text.format(value[key]) for key, text in _BOUNDS.items() if key in value]
        return " ".join([choice(words) if words else "anything", *bounds])

    def _then(self, value: Schema, name: str) -> str:
        then = self._resolved(value["then"])
        return self._takes({"type": value["if"].get("type"), **then} if "type" not in then else then, name)

    def _type(self, value: Schema, kind: str, name: str) -> str:
        items = value.get("items")
        if kind == "array" and isinstance(items, dict):
            return f"a list, each item {self._takes(self._resolved(items), name)}"
        others = value.get("additionalProperties")
        if kind == "object" and isinstance(others, dict):
            return f"a mapping, each value {self._takes(self._resolved(others), name)}"
        return _TYPES[kind][0]

    def _resolved(self, value: Schema, _: str = "") -> Schema:
        name = str(value.get("$ref", "")).removeprefix("#/$defs/")
        found: Schema = self._schema["$defs"][name] if name else value
        if name:
            self._titles.setdefault(id(found), f"{self._name}: {name.replace('_', ' ')}")
        return found

    def _queue(self, value: Schema, name: str) -> str:
        """The title of the section on a mapping, which is written if it is not yet."""
        schema = self._resolved(value)
        title = self._titles.setdefault(id(schema), f"{self._name}: {name}")
        if title not in [known for known, _ in self._waiting]:
            self._waiting.append((title, schema))
        return title


def _mapping_of(schema: Schema) -> Schema:
    """The part of a schema that lists keys."""
    return schema if "properties" in schema else schema.get("then", schema)


def _notes(schema: Schema) -> Iterator[str]:
    if "oneOf" in schema:
        keys = [f"`{each['required'][0]}`" for each in schema["oneOf"]]
        yield f"Exactly one of {choice(keys, 'and')}."
    if "not" in schema:
        yield f"{choice([f'`{key}`' for key in schema['not']['required']], 'and')} exclude each other."
    for key, beside in schema.get("dependencies", {}).items():
        yield f"`{key}` stands beside {choice([f'`{each}`' for each in beside], 'and')} only."


def _bare(title: str) -> str:
    return title.partition(": ")[2]


def _anchor(title: str) -> str:
    return title.lower().replace(":", "").replace("`", "").replace(" ", "-")


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
