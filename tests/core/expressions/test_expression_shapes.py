"""Expressions of one shape are parsed once, and nobody can tell."""

from __future__ import annotations

import re

import pytest
from expression_scope import fault, said, scope, value
from test_expression_functions import BOTH_WAYS, REFUSED, ways
from test_expression_refusals import EVALUATING, READING
from test_expression_templates import REFERENCES
from test_expression_values import WHOLE

from v6flow.core import expressions
from v6flow.core.expressions import ExpressionError, template
from v6flow.core.expressions.parser import OPERATORS, lex
from v6flow.core.expressions.values import Fault

TEXTS = [
    *(text for text, _ in WHOLE),
    *(text for name, first, rest, _ in BOTH_WAYS for text in ways(name, first, rest)),
    *(f"{{{{ {call} }}}}" for call, _ in REFUSED),
    *(text for text, *_ in READING),
    *(text for text, *_ in EVALUATING),
    *(text for text, _ in REFERENCES),
]


def outcome(text: str) -> object:
    """All that can be seen of a text."""
    read = expressions.compile(text)
    whole = read.whole and not read.errors  # of a text with faults it depends on where they are found
    seen = (
        [(said(error), error.at, error.offset) for error in read.errors],
        read.references,
        read.literal,
        whole,
    )
    try:
        return seen, repr(read.render(scope()))
    except ExpressionError as error:
        return seen, said(error), error.at, error.offset


@pytest.fixture
def in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every expression is parsed as it stands: no slots, no plain paths."""
    nothing = re.compile(r"(?!)(?P<path>x)")
    monkeypatch.setattr(template, "_PATHS", nothing)
    monkeypatch.setattr(template, "_WHOLE_PATH", nothing)
    monkeypatch.setattr(template, "_SIMPLE", nothing)
    monkeypatch.setattr(template, "_shape", lambda _: None)


OUTCOMES = [outcome(text) for text in TEXTS]


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("index", range(len(TEXTS)))
def test_slots_change_nothing(index: int) -> None:
    assert outcome(TEXTS[index]) == OUTCOMES[index]


def test_one_parse_for_one_shape() -> None:
    template._shape.cache_clear()
    texts = [f"{{{{ params.a{number} + params.b{number}['x y'][{number}].c * 2 }}}}" for number in range(50)]
    assert all(expressions.compile(text).errors == () for text in texts)
    assert template._shape.cache_info().misses == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{{ params.one + 1 }}", "{{ params.half + 1 }}"),
        ("{{ params.one ~ 'params.half' }}", "{{ params.half ~ 'params.one' }}"),
        ("{{ params.map.items + params.one }}", "{{ params.one + params.map.items }}"),
    ],
)
def test_siblings_have_their_own_values(first: str, second: str) -> None:
    assert value(first) == value(first)
    assert value(first) != value(second) or "items" in first
    assert expressions.compile(first).references != expressions.compile(second).references


def test_places_of_faults_are_those_of_the_text_and_not_of_the_shape() -> None:
    for names in (("one", "missing"), ("a_longer_name", "missing")):
        text = f"x {{{{ params.map.k.z + (params.{names[0]} | default(1)) + params.{names[1]} }}}}"
        assert text[fault(text).offset :].startswith(f"params.{names[1]}")


def jinja_tokens(text: str) -> list[tuple[str, str]]:
    """The tokens that Jinja's own lexer finds in an expression, as far as its kinds and ours are the same."""
    from jinja2 import Environment

    found = [(kind, word) for _, kind, word in Environment().lex("{{ " + text + "}}")]
    return [
        (OPERATORS[word] if kind == "operator" else kind, word) for kind, word in found[1:-1] if kind != "whitespace"
    ]


@pytest.mark.parametrize("text", [text[2:-2] for text in TEXTS if re.fullmatch(r"\{\{[^{}\\]*\}\}", text)])
def test_tokens_are_those_of_jinja(text: str) -> None:
    try:
        ours, _ = lex(text + "}}", 0)
    except Fault:
        return  # we refuse more than Jinja does
    theirs = jinja_tokens(text)
    assert [token.kind for token in ours] == [kind for kind, _ in theirs]
    assert [text[token.offset :][: len(word)] for token, (_, word) in zip(ours, theirs, strict=True)] == [
        word for _, word in theirs
    ]
