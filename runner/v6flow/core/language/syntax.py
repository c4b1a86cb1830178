"""What a fault of YAML's syntax is in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from v6flow.core.language import quoting
from v6flow.core.language.problem import Position, Problem
from v6flow.core.language.redaction import NOT_YAML
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

    from v6flow.core.language.source import Source

MAX_KEY = 1024  # characters: YAML's own limit for a key and its colon

_BARE_EXPRESSION = pattern(r"(?:^ *|[:\-\[,] +|[\[{,])\{\{")
_INNER_EXPRESSION = pattern(r"""(?:[^"']|"[^"]*"|'[^']*')*?[\[{,:][^"'\[\]{},]*[^"'\[\]{}, ][^"'\[\]{},]*\{\{""")
_SECOND_COLON = pattern(r" *(?:- +)*[^:\[{]*: .*: ")
_BROKEN_QUOTES = pattern(r"""(?:^|[\s\[,])(["'])(?:(?!\1).)*\{\{(?:(?!\1|\}\}).)*\1$""")
TIGHT_COLON = pattern(r" *(?:- +)?[\w.-]+:(?=[^\s:])")  # `key:value`, which YAML reads as one text


class _Fault(NamedTuple):
    place: Position
    message: str
    hint: str
    rule: str = "syntax"


_Explain: TypeAlias = Callable[["Source", Position, Position], _Fault]


def explain(error: MarkedYAMLError, source: Source) -> Problem:
    """The problem that PyYAML's error stands for: the place that people would point at, and a remedy."""
    mark: Any = error.problem_mark or error.context_mark
    context: Any = error.context_mark or mark
    at = source.place(min(mark.index, len(source.text)))
    opened = source.place(min(context.index, len(source.text)))
    fault = _expression_fault(source, at, opened)
    if fault is None:
        said = f"{error.context or ''}: {error.problem or ''}"
        say = next((say for words, say in _SYNTAX if words in said), None)
        fault = say(source, at, opened) if say else _Fault(at, f"{NOT_YAML}: {error.problem}", "mend it")
    return Problem(fault.message, fault.rule, source.name, fault.place, fault.hint)


def _expression_fault(source: Source, at: Position, opened: Position) -> _Fault | None:
    if broken := _BROKEN_QUOTES.search(source.line(at.line)[: at.column - 1]):
        message = f"this {broken[1]} ends the text in the middle of an expression"
        hint = quoting.requoted_hint(source, source.offset(Position(at.line, broken.start(1) + 1)))
        return _Fault(Position(at.line, at.column - 1), message, hint, "quotes-in-expression")
    for number in (at.line, opened.line):
        line = source.line(number)
        if bare := _BARE_EXPRESSION.search(line) or (_INNER_EXPRESSION.match(line) if number == at.line else None):
            inside = bare.re.pattern == _INNER_EXPRESSION.pattern or _SECOND_COLON.match(line[: bare.end()])
            found = quoting.unquoted(source, source.offset(Position(number, bare.end() - 1)), colons=bool(inside))
            message = "an expression needs quotes here"
            return _Fault(source.place(found.start), message, found.hint, "unquoted-expression")
    return None


def _colon(source: Source, at: Position, _: Position) -> _Fault:
    before = source.line(at.line)[: at.column - 1]
    if at.column > MAX_KEY:
        return _Fault(at, f"a key longer than {MAX_KEY} characters", "shorten it")
    if re.search(r": ", before):
        return _second_colon(source, at)
    above = next((n for n in range(at.line - 1, 0, -1) if source.line(n).strip()), at.line)
    if tight := TIGHT_COLON.match(source.line(above)):
        return _Fault(Position(above, tight.end()), "a space is missing after this colon", "write `key: value`")
    place = Position(at.line, len(before) - len(before.lstrip()) + 1)
    message = f"this line is indented deeper than line {above}, which has its value already"
    return _Fault(place, message, "align it with the keys that it belongs to")


def _second_colon(source: Source, at: Position) -> _Fault:
    found = quoting.unquoted(source, source.offset(at), colons=True)
    return _Fault(source.place(found.start), "a second colon in one line", found.hint)


def _block(source: Source, at: Position, opened: Position) -> _Fault:
    before = source.line(at.line)[: at.column - 1]
    if source.line(at.line).startswith(":", at.column - 1):
        return _Fault(at, "a colon with no key before it", "write the key")
    if not before.strip(" -"):
        hint = f"the block it may belong to begins at {opened.line}:{opened.column}"
        return _Fault(at, "this line's indentation fits none of the lines above it", hint)
    return _Fault(at, "more text after the end of the value", "put quotes around the whole value")


def _flow(opening: str, closing: str) -> _Explain:
    def say(source: Source, at: Position, opened: Position) -> _Fault:
        if at.line != opened.line or at.column > len(source.line(at.line)):
            return _Fault(opened, f"the {opening} that opens here is not closed", f"write {closing} where it ends")
        if source.line(at.line).startswith(": ", at.column - 1):
            return _second_colon(source, at)
        return _Fault(at, f"a comma or {closing} is missing here", "a text that has , [ ] { or } in it needs quotes")

    return say


def _start(source: Source, at: Position, _: Position) -> _Fault:
    line = source.line(at.line)
    character = line[at.column - 1 : at.column] or "this character"
    if character == "%" and line[: at.column - 1].endswith("{"):
        return _Fault(at, "{% … %} is not part of the language", 'write an expression: "{{ … }}"')
    return _Fault(at, f"a text cannot begin with {character} unless it is quoted", "put quotes around it")


def _content(source: Source, at: Position, _: Position) -> _Fault:
    character = source.line(at.line)[at.column - 1 : at.column]
    if not character:
        return _Fault(at, "a value is missing here", "write it")
    return _Fault(at, f"a {character} where a value should begin", "remove it, or put quotes around the text")


def _says(message: str, hint: str, rule: str = "syntax", *, where_opened: bool = False) -> _Explain:
    def say(_: Source, at: Position, opened: Position) -> _Fault:
        return _Fault(opened if where_opened else at, message, hint, rule)

    return say


def _refused(what: str, sign: str, rule: str) -> _Explain:
    return _says(f"{what} are not accepted", f"put quotes around a text that begins with {sign}", rule)


_DIRECTIVE = _says("YAML directives are not accepted", "remove the lines that begin with %", "directive")

# The words of libyaml and of PyYAML's own parser; the more specific first.
_SYNTAX: tuple[tuple[str, _Explain], ...] = (
    ("values are not allowed", _colon),
    (
        "escape",
        _says("this backslash begins no known escape", "write \\\\ for a backslash, or use single quotes"),
    ),
    ("quoted scalar", _says("the quote that opens here is not closed", "close it", where_opened=True)),
    ("double-quoted", _says("the quote that opens here is not closed", "close it", where_opened=True)),
    ("a flow sequence", _flow("[", "]")),
    ("a flow mapping", _flow("{", "}")),
    ("simple key", _says("this line is no `key: value`", "a colon is missing", where_opened=True)),
    ("cannot start any token", _start),
    ("alias", _refused("aliases (*)", "*", "alias")),
    ("anchor", _refused("anchors (&)", "&", "anchor")),
    (" tag", _refused("tags (!)", "!", "tag")),
    ("block scalar", _says("text follows | or > on the same line", "begin the text on the next line, indented")),
    ("entries are not allowed", _says("a list cannot begin here", "begin it on a line of its own")),
    ("keys are not allowed", _says("a ? cannot stand here", "put quotes around the text")),
    ("directive", _DIRECTIVE),
    ("incompatible", _DIRECTIVE),
    (
        "document start",
        _says("a second document begins here", "keep one document in a file", "several-documents"),
    ),
    ("node content", _content),
    ("a block", _block),
)
