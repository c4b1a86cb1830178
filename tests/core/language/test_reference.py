"""The reference has every key of the schemas, with all that they say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from v6flow import loading
from v6flow.core.language.reference import reference

if TYPE_CHECKING:
    from collections.abc import Iterator


def mappings(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that lists keys."""
    if not isinstance(schema, dict):
        return
    yield schema.get("properties", {})
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for each in [*inner, *(schema.get(key) for key in ("items", "additionalProperties", "then", "else"))]:
        yield from mappings(each)


@pytest.mark.parametrize("name", loading.SCHEMA_NAMES)
def test_every_key_is_there_with_what_is_said_of_it(name: str) -> None:
    schema = loading.read_schema(name)
    rows = [line for line in reference([schema]).splitlines() if line.startswith("| `")]
    found = [
        properties for properties in mappings(schema) if "allOf" not in schema or properties != schema["properties"]
    ]
    assert len(found) > 5
    for properties in found:
        for key, value in properties.items():
            said = str(value.get("description", "")).replace("|", "\\|")
            assert any(row.startswith(f"| `{key}` |") and said in row for row in rows), f"{key}: {said}"


def test_a_row_says_what_a_key_takes_and_what_is_built_in() -> None:
    page = reference([
        {
            "title": "v6flow thing",
            "description": "A thing.",
            "required": ["a"],
            "properties": {
                "a": {"description": "First.", "type": ["integer", "null"], "minimum": 2, "examples": [3]},
                "b": {"description": "One | other.", "enum": ["x", 1], "default": "x"},
                "c": {"description": "Many.", "type": "array", "items": {"$ref": "#/$defs/item"}},
                "d": {"description": "A reason.", "type": "string", "patternErrorMessage": "expected an x"},
            },
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "dependencies": {"d": ["c"]},
            "$defs": {"item": {"description": "An item.", "type": "object", "properties": {"e": {"type": "boolean"}}}},
        }
    ])  # fmt: skip
    assert (
        page.partition("## Thing files\n")[2]
        == """
A thing.

| key | takes | default | |
|---|---|---|---|
| `a` | a whole number or null from 2 | required | First. Such as `3`. |
| `b` | `x` or `1` | `x` | One \\| other. |
| `c` | a list, each item a mapping: [Thing: item](#thing-item) |  | Many. |
| `d` | an x |  | A reason. |

Exactly one of `a` and `b`.
`d` stands beside `c` only.

### Thing: item

An item.

| key | takes | default | |
|---|---|---|---|
| `e` | true or false |  |  |
"""
    )
