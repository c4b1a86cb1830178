"""The quoted spelling of a YAML value that has an expression in it, so that a hint can print what to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from v6flow.core.language.source import Source

MAX_SHOWN = 300  # characters of a value that a hint repeats
MAX_READ = 100_000  # characters read again for a hint; beyond, it says less

_WHOLE = "put quotes around the whole value"
_OPEN = {"FlowMappingStartToken": 1, "FlowSequenceStartToken": 1, "FlowMappingEndToken": -1, "FlowSequenceEndToken": -1}
_STOP = pattern(r"[\r\n]| #")
_STOP_IN_FLOW = pattern(r"[\r\n,\[\]{}]| #")
_COLON = pattern(r":(?= |\r|\n|$)")
_BREAK = pattern(r"[ ]*\r?\n[ ]*")


class Value(NamedTuple):
    """A value without quotes that needs them: where it begins in the text, and what to do."""

    start: int
    hint: str


def unquoted(source: Source, offset: int, *, colons: bool = False) -> Value:
    """The value without quotes that has an expression, or a second colon, at an offset.

    With `colons` the value has colons in it; else it is taken to begin at the offset, or within [ ] and { } before it.
    """
    begin = _entry(source.text, offset)
    if offset - begin > MAX_READ:
        return Value(offset, _WHOLE)
    flow = _in_flow(source.text[begin:offset])
    start = _start(source, offset, flow=flow, colons=colons) if flow or colons else offset
    end = _end(source.text, start, flow=flow, colons=colons)
    if end is None:
        return Value(start, f"close the expression with }}}}, and {_WHOLE}")
    content = _BREAK.sub(" ", source.text[start:end])
    if len(content) > MAX_SHOWN:
        return Value(start, _WHOLE)
    return Value(start, f"put quotes around it: {quoted(content)}")


def requoted_hint(source: Source, offset: int) -> str:
    """What to write for the value whose opening quote is at an offset, and is used in an expression in it too."""
    text = source.text
    quote = text[offset]
    at = offset + 1
    while at < len(text) and text[at] != quote and text[at] not in "\r\n":
        at = (_expression_end(text, at) or len(text)) if text.startswith("{{", at) else at + 1
    content = text[offset + 1 : at]
    if at >= len(text) or text[at] != quote or "\n" in content or len(content) > MAX_SHOWN:
        other = "'" if quote == '"' else '"'
        return f"use {other} for texts inside the expression"
    return f"write {requoted(content, quote)}"


def quoted(content: str) -> str:
    """A text as a quoted YAML scalar: in double quotes where nothing in it needs to be escaped."""
    if '"' in content or "\\" in content:
        return "'" + content.replace("'", "''") + "'"
    return f'"{content}"'


def requoted(content: str, quote: str) -> str:
    """A text in the quotes that its author put around it, where those are in expressions in it too."""
    other = "'" if quote == '"' else '"'
    if other not in content and "\\" not in content:
        return quote + content.replace(quote, other) + quote
    return quote + content.replace(quote, '\\"' if quote == '"' else "''") + quote


def _entry(text: str, offset: int) -> int:
    """Where the entry of the whole file begins that a place is in: at a key that is not indented."""
    found = None
    for found in re.finditer(r"^[A-Za-z_]\w*:", text[:offset], re.MULTILINE):  # noqa: B007 - the last one counts
        pass
    return found.start() if found else 0


def _in_flow(before: str) -> bool:
    """Whether a text ends within [ ] or { }; what the scanner cannot read counts for nothing."""
    depth = 0
    try:
        for token in yaml.scan(before, Loader=yaml.CLoader if yaml.__with_libyaml__ else yaml.Loader):
            depth += _OPEN.get(type(token).__name__, 0)
    except yaml.YAMLError:
        pass
    return depth > 0


def _start(source: Source, offset: int, *, flow: bool, colons: bool) -> int:
    """Where the value begins that continues at an offset, on the same line: behind the key, if there is one."""
    line = source.place(offset)
    before = source.line(line.line)[: line.column - 1]
    begin = max(before.rfind(mark) for mark in ",[{") + 1 if flow else 0
    sign = ":(?= |$)" if colons else ".*:(?= |$)"
    found = re.match(rf"[ ]*(?:- +)*(?:[^:]*?{sign})?[ ]*", before[begin:])
    return offset - len(before) + begin + (found.end() if found else 0)


def _end(text: str, offset: int, *, flow: bool, colons: bool) -> int | None:
    """Where the value ends that begins at an offset; None if an expression in it is not closed."""
    stop = _STOP_IN_FLOW if flow else _STOP
    at: int | None = offset
    last = offset
    while at is not None and at < len(text):
        if text.startswith("{{", at):
            at = _expression_end(text, at)
            last = at or last
        elif stop.match(text, at) or (not colons and _COLON.match(text, at)):
            break
        else:
            at += 1
            last = at if text[at - 1] != " " else last
    return None if at is None else last


def _expression_end(text: str, offset: int) -> int | None:
    """Where the expression that begins at an offset ends, past its braces; None if it does not."""
    depth, at = 0, offset + 2
    while at < len(text):
        character = text[at]
        if character in "\"'":
            closing = text.find(character, at + 1)
            if closing < 0:
                return None
            at = closing
        elif character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif text.startswith("}}", at):
            return at + 2
        at += 1
    return None
