"""Tokens → Jinja's syntax tree, in which the line of a node is its offset."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.values import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.core.expressions.lexer import Token


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
