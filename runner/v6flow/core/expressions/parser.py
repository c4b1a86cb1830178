"""An expression's text → tokens → Jinja's syntax tree, refusing what the tree could no longer tell."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from v6flow.core.expressions.limits import MAX_LENGTH, MAX_NESTING, MAX_PREFIXES
from v6flow.core.expressions.names import quoted
from v6flow.core.expressions.operators import TESTS
from v6flow.core.expressions.values import Fault
from v6flow.core.json import MAX_DIGITS
from v6flow.core.language.words import suggestion
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SLOT = "\0"
"""Stands for a plain path in an expression whose paths were taken out; nobody writes it."""

OPERATORS: dict[str, str] = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "~": "tilde",
    "(": "lparen", ")": "rparen", "[": "lbracket", "]": "rbracket", "{": "lbrace", "}": "rbrace",
    "==": "eq", "!=": "ne", "<": "lt", "<=": "lteq", ">": "gt", ">=": "gteq",
    "=": "assign", ".": "dot", ":": "colon", "|": "pipe", ",": "comma",
}  # fmt: skip
"""Each operator with the name that Jinja has for it."""

_TOKEN = pattern(
    r"""
    (?P<space>\s+)
  | (?P<name>[^\W\d]\w*)
  | (?P<number>\d(?:[eE][+-]?(?=\d)|[\w.])*)
  | (?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
  | (?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%~()\[\]{}<>=.:|,])
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = pattern(r"(?P<whole>0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = pattern(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "/": "/"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**"))
_SEPARATORS = frozenset((",", ":", "=", "==", "!=", "<", "<=", ">", ">="))
_SEPARATING_WORDS = frozenset(("and", "or", "not", "in", "if", "else"))
_OPERATOR_WORDS = _SEPARATING_WORDS | {"is"}
_STRAIGHT = "write straight quotes"
_UNCLOSED = "a text ends with the quote that begins it"
_REMEDIES = {
    "&": "write and", "!": "write not, or !=", "?": "write a if b else c", "^": "write ** for a power",
    "'": _UNCLOSED, '"': _UNCLOSED,
    "“": _STRAIGHT, "”": _STRAIGHT, "‘": _STRAIGHT, "’": _STRAIGHT, "`": _STRAIGHT,
    "$": "a param is params.NAME", ";": "one expression in one {{ … }}",
}  # fmt: skip


class Token(NamedTuple):
    """One token; `kind` is Jinja's word for it, `offset` counts from where reading began."""

    kind: str
    value: str | int | float
    offset: int


def lex(text: str, start: int, *, slots: bool = False) -> tuple[list[Token], int]:
    """The tokens from `start`, behind a `{{`, up to its `}}`, and where the text continues.

    With `slots`, each SLOT in the text is a name of its own. Raises Fault with offsets in `text`.
    """
    tokens: list[Token] = []
    judge = _Judge()
    slot = 0
    position = start
    while True:
        if not judge.brackets and text.startswith("}}", position):
            judge.end(text, position)
            return tokens, position + 2
        if position - start > MAX_LENGTH:
            raise Fault(f"an expression longer than {MAX_LENGTH} characters", "expression-limit", offset=start)
        match = _TOKEN.match(text, position)
        if match and match.lastgroup != "space":
            if match.lastgroup == "number" and tokens and tokens[-1].kind == "dot":
                raise _number_as_attribute(match)
            token = _token(match)
            judge.see(token, match.group())
            tokens.append(token)
        elif not match and slots and text.startswith(SLOT, position):
            token = Token("name", f"{SLOT}{slot}", position)
            slot += 1
            judge.see(token, SLOT)
            tokens.append(token)
        elif not match:
            _refuse_character(text, start, position, judge)
        position = match.end() if match else position + 1


def _token(match: re.Match[str]) -> Token:
    text, offset = match.group(), match.start()
    if match.lastgroup == "number":
        return _number(text, offset)
    if match.lastgroup == "string":
        return Token("string", _unescaped(text, offset), offset)
    return Token("name" if match.lastgroup == "name" else OPERATORS[text], text, offset)


def _number_as_attribute(match: re.Match[str]) -> Fault:
    number = match.group()[:20].split(".")[0]
    message = f"an item is taken by brackets, not by .{number}"
    return Fault(message, "expression-refused", offset=match.start(), hint=f"write [{number}]")


def _number(text: str, offset: int) -> Token:
    match = _NUMBER.fullmatch(text)
    if not match:
        hint = "put quotes around a text, and write a number plainly: 1000, 0.5, 1e-6"
        raise Fault(f"{quoted(text)} is no number", "expression-syntax", offset=offset, hint=hint)
    if len(text) > MAX_DIGITS:
        raise Fault(f"a number of {len(text)} digits", "expression-limit", offset=offset)
    if match.end("whole") == len(text):
        return Token("integer", int(text), offset)
    value = float(text)
    if math.isinf(value):
        raise Fault(f"the number {quoted(text)} is too large to be finite", "expression-value", offset=offset)
    return Token("float", value, offset)


def _unescaped(literal: str, offset: int) -> str:
    if "\\" not in literal:
        return literal[1:-1]

    def character(match: re.Match[str]) -> str:
        escape = match.group(1)
        if len(escape) == 5 and not 0xD800 <= int(escape[1:], 16) < 0xE000:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            message, hint = (
                f"{match.group()} means nothing in a text",
                "write \\\\ for a backslash itself",
            )
            raise Fault(message, "expression-syntax", offset=offset + 1 + match.start(), hint=hint)
        return _ESCAPES[escape]

    return _ESCAPE.sub(character, literal[1:-1])


def _refuse_character(text: str, start: int, position: int, judge: _Judge) -> None:
    if position >= len(text):
        judge.end(text, position)
        hint = "close it with }}, or write {{ '{{' }} for the braces themselves"
        raise Fault("{{ is never closed", "expression-syntax", offset=max(start - 2, 0), hint=hint)
    character = text[position]
    what = "a text is never closed" if character in "'\"" else f"{quoted(character)} has no meaning in an expression"
    raise Fault(what, "expression-syntax", offset=position, hint=_REMEDIES.get(character))


class _Segment:
    """What was seen at one level of brackets since the last comma, comparison or word."""

    __slots__ = ("arithmetic", "minus", "pipe", "power")

    def __init__(self) -> None:
        self.arithmetic = ""  # the first operator
        self.pipe = ""  # the first filter or test
        self.minus = False  # whether the operand that is being read began with a sign
        self.power = False  # whether it has a power


class _Judge:
    """Refuses, token by token, what Jinja reads otherwise than people do, and what would overflow a stack."""

    def __init__(self) -> None:
        self.brackets: list[tuple[str, int]] = []
        self._segments = [_Segment()]
        self._before: Token | None = None  # the last token
        self._operand = False  # whether that ended an operand
        self._test = False  # whether a test's name comes next
        self._prefixes = 0

    def see(self, token: Token, text: str) -> None:
        """One more token."""
        attribute = self._before is not None and self._before.kind == "dot"
        if self._test and text != "not":
            self._see_test(token, text)
        elif token.kind in ("name", "string", "integer", "float"):
            self._see_operand(token, text, attribute)
        elif text in _CLOSING:
            self._open(token, text)
        elif text in ")]}":
            self._close(token, text)
        else:
            self._see_operator(token, text)
        ends = token.kind in ("name", "string", "integer", "float") or text in ")]}"
        self._operand = ends and (attribute or text not in _OPERATOR_WORDS)
        self._before = token

    def end(self, text: str, position: int) -> None:
        """The closing braces are here, or the text ends without them."""
        if self.brackets:
            bracket, offset = self.brackets[-1]
            raise Fault(f"the bracket {bracket} is never closed", "expression-syntax", offset=offset)
        if self._before and self._before.kind == "sub" and text[position - 1] == "-":
            raise control_fault(position - 1)

    def _see_test(self, token: Token, text: str) -> None:
        self._test = False
        if text not in TESTS:
            raise Fault(
                f"there is no test `is {text[:20]}`: there are {', '.join(sorted(TESTS))}",
                "expression-function",
                offset=token.offset,
                hint=suggestion(text, TESTS),
            )

    def _see_operand(self, token: Token, text: str, attribute: bool) -> None:
        before = self._before
        if attribute:
            return
        if token.kind == "string" and before and before.kind == "string":
            message, hint = "two texts side by side", "write ~ between them to join them, or a comma"
            raise Fault(message, "expression-refused", offset=token.offset, hint=hint)
        if text in _SEPARATING_WORDS and token.kind == "name" and not (text == "not" and self._test):
            self._segments[-1] = _Segment()
            self._count_prefix(token, text in ("not", "if"))
        elif text == "is" and token.kind == "name":
            self._test = True
            self._see_pipe(token, "is")

    def _see_operator(self, token: Token, text: str) -> None:
        if text in _SEPARATORS:
            self._segments[-1] = _Segment()
        elif text in _ARITHMETIC:
            self._see_arithmetic(token, text)
        elif text == "~":
            self._segments[-1].minus = self._segments[-1].power = False
        elif text == "|":
            self._see_pipe(token, "|")

    def _see_arithmetic(self, token: Token, text: str) -> None:
        segment = self._segments[-1]
        segment.arithmetic = segment.arithmetic or text
        if segment.pipe:
            raise _beside(token, segment.pipe, text)
        if text == "**":
            if segment.power:
                message, hint = "a power of a power", "say by brackets which comes first: a ** (b ** c)"
                raise Fault(message, "expression-refused", offset=token.offset, hint=hint)
            if segment.minus:
                message, hint = "a sign before a power", "write (-a) ** b, or -(a ** b)"
                raise Fault(message, "expression-refused", offset=token.offset, hint=hint)
            segment.power = True
        elif self._operand:
            segment.minus = segment.power = False
        else:
            segment.minus = True
            self._count_prefix(token, True)

    def _see_pipe(self, token: Token, text: str) -> None:
        segment = self._segments[-1]
        segment.pipe = segment.pipe or text
        if segment.arithmetic:
            raise _beside(token, text, segment.arithmetic)

    def _count_prefix(self, token: Token, counts: bool) -> None:
        self._prefixes += counts
        if self._prefixes > MAX_PREFIXES:
            raise Fault(f"more than {MAX_PREFIXES} signs, nots and ifs", "expression-limit", offset=token.offset)

    def _open(self, token: Token, text: str) -> None:
        self.brackets.append((text, token.offset))
        self._segments.append(_Segment())
        if len(self.brackets) > MAX_NESTING:
            raise Fault(f"brackets nested deeper than {MAX_NESTING}", "expression-limit", offset=token.offset)

    def _close(self, token: Token, text: str) -> None:
        if not self.brackets:
            raise Fault(f"the bracket {text} was never opened", "expression-syntax", offset=token.offset)
        bracket, offset = self.brackets.pop()
        if _CLOSING[bracket] != text:
            raise Fault(f"the bracket {bracket} is never closed", "expression-syntax", offset=offset)
        self._segments.pop()


def control_fault(offset: int) -> Fault:
    """The fault of Jinja's way to cut the white space around an expression."""
    message = "a - or + at the braces would cut white space, which is not part of this language"
    return Fault(message, "expression-refused", offset=offset, hint="leave a space between the braces and a sign")


def _beside(token: Token, pipe: str, operator: str) -> Fault:
    what = "a filter" if pipe == "|" else "a test with `is`"
    message = f"{what} beside {operator} takes only what stands nearest to it"
    hint = f"say by brackets what it takes: (a {operator} b) {pipe} …, or a {operator} (b {pipe} …)"
    return Fault(message, "expression-refused", offset=token.offset, hint=hint)


# ------------------------------------------------------------------------------------------------------- the tree


def parse(tokens: Sequence[Token]) -> Any:
    """The tree of one expression, unevaluated and unfolded. Raises Fault.

    Jinja keeps a line for each node and nothing else. We make its tokens ourselves and give each its offset
    as its line, so that a fault can point at its place.
    """
    from jinja2 import TemplateSyntaxError
    from jinja2.lexer import TokenStream
    from jinja2.parser import Parser

    if not tokens:
        hint = "write an expression between the braces, or {{ '{{' }} for the braces themselves"
        raise Fault("an expression with nothing in it", "expression-syntax", offset=0, hint=hint)
    parser = Parser(_environment(), "", state="variable")
    parser.stream = TokenStream(_for_jinja(tokens), None, None)
    try:
        tree = parser.parse_expression()
    except TemplateSyntaxError as error:
        raise Fault(_sentence(error.message or ""), "expression-syntax", offset=error.lineno) from error
    rest = parser.stream.current
    remedy = "write == to compare" if rest.type == "assign" else None
    if rest.type != "eof":
        message = f"the expression has ended before {str(rest.value)[:60]!r}"
        raise Fault(message, "expression-syntax", offset=rest.lineno, hint=remedy)
    return tree


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment

    return Environment(autoescape=False, cache_size=0)  # noqa: S701 - nothing is ever rendered by it


def _for_jinja(tokens: Sequence[Token]) -> Iterator[Any]:
    """Jinja's own tokens; a test gets brackets, or `x is none if c` would be the test `none(if)` to Jinja."""
    from jinja2.lexer import Token as JinjaToken

    testing = False
    for index, (kind, value, offset) in enumerate(tokens):
        yield JinjaToken(offset, kind, value)  # type: ignore[arg-type]  # its numbers are numbers there too
        word = kind == "name" and not (index and tokens[index - 1].kind == "dot")
        if word and value == "is":
            testing = True
        elif testing and value != "not":
            testing = False
            if index + 1 == len(tokens) or tokens[index + 1].kind != "lparen":
                yield JinjaToken(offset, "lparen", "(")
                yield JinjaToken(offset, "rparen", ")")


def _sentence(message: str) -> str:
    words = message.replace("end of template", "the end of the expression")
    return f"not an expression: {words[:1].lower()}{words[1:]}"
