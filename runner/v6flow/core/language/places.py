"""Where a character of a text in a document is in its file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from v6flow.core.language.problem import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.expressions import Reference
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path

_BLANK = frozenset(" \t\r\n")
_BLANK_ESCAPES = frozenset("ntr ")


def place(document: Document, path: Path, offset: int = 0) -> Position:
    """The place of a character of the text at `path`, given by its offset in the value.

    A value and how it is written differ in white space only, once quotes and escapes are read: so the
    characters that are not white space are counted off. Of what is no text, it is the beginning.
    """
    if path and isinstance(path[-1], str) and "{{" in path[-1]:  # a key is no expression: it is what is at fault
        return document.key_position(path)
    start = document.position(path)
    whole = text(document, path)
    solid = sum(each not in _BLANK for each in whole[:offset])
    solid = min(solid, sum(each not in _BLANK for each in whole) - 1)
    if solid < 0:
        return start
    for position, character in _characters(document, start):
        if character in _BLANK:
            continue
        if not solid:
            return position
        solid -= 1
    return start


def mention(document: Document, path: Path, reference: Reference, depth: int) -> Position:
    """The place of a word of a reference in the text at `path`: its root (0), or what follows it (from 1)."""
    words = [rf"(?<![\w.]){re.escape(reference.root)}(?!\w)"]
    for word in reference.path[:depth]:
        key = re.escape(str(word))
        words.append(rf"\s*(?:\.\s*{key}(?!\w)|\[\s*['\"]?{key}['\"]?\s*\])")
    whole = text(document, path)
    found = re.search("".join(words), whole)
    if found is None:
        return place(document, path)
    offset = found.start()
    if depth:
        before = re.compile("".join(words[:-1])).match(whole, found.start())
        assert before is not None  # it is the beginning of what was found
        word_at = re.compile(r"[\s.\['\"]*").match(whole, before.end())
        offset = word_at.end() if word_at else before.end()
    return place(document, path, offset)


def text(document: Document, path: Path) -> str:
    """The text at `path`; empty if what is there is none."""
    value: Any = document.value
    for part in path:
        if isinstance(value, str):  # the path continues where a text was wrapped in a list
            break
        value = value[part]
    return value if isinstance(value, str) else ""


def _characters(document: Document, start: Position) -> Iterator[tuple[Position, str]]:
    """The characters of the scalar that begins at a place, as they are read, and where each is written."""
    first = document.line(start.line)[start.column - 1 : start.column]
    if first in ("|", ">"):
        return _raw(document, Position(start.line + 1, 1))
    behind = _raw(document, Position(start.line, start.column + (first in ("'", '"'))))
    if first == "'":
        return _single_quoted(behind)
    return _double_quoted(behind) if first == '"' else behind


def _raw(document: Document, start: Position) -> Iterator[tuple[Position, str]]:
    last = len(document.text.splitlines())
    for number in range(start.line, last + 1):
        begin = start.column if number == start.line else 1
        for column, character in enumerate(document.line(number)[begin - 1 :], begin):
            yield Position(number, column), character
        yield Position(number, len(document.line(number)) + 1), "\n"


def _single_quoted(raw: Iterator[tuple[Position, str]]) -> Iterator[tuple[Position, str]]:
    for position, character in raw:
        if character == "'" and next(raw)[1] != "'":
            return
        yield position, character


def _double_quoted(raw: Iterator[tuple[Position, str]]) -> Iterator[tuple[Position, str]]:
    for position, character in raw:
        if character == '"':
            return
        if character != "\\":
            yield position, character
            continue
        letter = next(raw)[1]
        digits = "".join(next(raw)[1] for _ in range({"x": 2, "u": 4, "U": 8}.get(letter, 0)))
        if digits:
            yield position, chr(int(digits, 16))
        else:
            yield position, " " if letter in _BLANK_ESCAPES or letter in _BLANK else letter
