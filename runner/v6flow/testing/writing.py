"""Plain data as YAML text that `core.document` reads: short values on one line, the others in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core import json
from v6flow.core.language import scalars
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 110
"""The line width in characters; a single long text may exceed it."""

_PLAIN = pattern(r"[A-Za-z_][A-Za-z0-9_./-]*|(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # not text to some YAML readers
_ODD = pattern(
    "[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)  # characters that JSON leaves unescaped and YAML forbids


def dump(value: dict[str, Any]) -> str:
    """The text of a mapping."""
    return "".join(f"{line}\n" for line in _block(value))


def _block(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(f"{_text(key)}:", item)
    else:
        for item in value:
            yield from _item(item)


def _entry(head: str, value: Any) -> Iterator[str]:
    line = f"{head} {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        yield line
    else:
        yield head
        yield from (f"  {line}" for line in _block(value))


def _item(value: Any) -> Iterator[str]:
    line = f"- {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        yield line
        return
    mark = "- "
    for line in _block(value):
        yield mark + line
        mark = "  "


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and _is_text(text):
        return text
    return _ODD.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text))


def _is_text(text: str) -> bool:
    try:
        return isinstance(scalars.resolve(text), str)
    except scalars.OddScalarError:
        return False
