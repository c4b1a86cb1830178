"""Made-up values with the shapes of real ones, and schemas of samples."""

from __future__ import annotations

from typing import Any

TEXT = "text"


def made_up(value: Any, whole: int = 1) -> Any:
    """A value of the same shape: the same keys, lists as long, numbers 1, texts `text`, booleans true.

    The number is 1 and not 0, because counts and weights are divisors; `whole` replaces whole numbers if counts must be
    larger. Keys are kept, because expressions refer to them.
    """
    match value:
        case bool():
            return True
        case int():
            return whole
        case float():
            return 1.0
        case str():
            return TEXT
        case list():
            return [made_up(item, whole) for item in value]
        case dict():
            return {key: made_up(item, whole) for key, item in value.items()}
    return None


def schema(value: Any) -> dict[str, Any]:
    """A JSON Schema (draft 7) that exactly the values of the same shape fit."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case list():
            return _list(value)
        case dict():
            properties = {key: schema(item) for key, item in value.items()}
            return {
                "type": "object",
                "required": list(properties),
                "properties": properties,
                "additionalProperties": False,
            }
    return {"type": "null"}


def _list(value: list[Any]) -> dict[str, Any]:
    length = {"type": "array", "minItems": len(value), "maxItems": len(value)}
    items = [schema(item) for item in value]
    if not items:
        return length
    alike = all(item == items[0] for item in items)
    return {**length, "items": items[0] if alike else items}
