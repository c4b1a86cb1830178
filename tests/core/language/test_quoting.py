"""The quoted spelling that a hint prints: followed to the letter, the file says what its author meant."""

from __future__ import annotations

import itertools

import pytest
import yaml

from v6flow.core.language import document
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.language.source import Source

EXPRESSIONS = (
    "{{ params.column }}",
    "{{x}}",
    '{{ d["x"] }}',
    "{{ d['x y'] }}",
    "{{ d['x'] ~ \"y\" }}",
    '{{ x | default("n, m: k # [}}]") }}',
    '{{ {"k": {"m": 1}} }}',
    "{{ [a, b][0] }}",
    "{{ a }}-{{ b }}",
    '{{ a }} of {{ b["c"] }} years',
    "{{ a\n      + b }}",
)
IN_FLOW = (
    "kwargs: {{column_name: {0}}}",
    "kwargs: {{column_name: {0}, other: 1}}",
    "kwargs: {{other: 'q, {{', column_name: {0} , more: [1, 2]}}  # {{ and more",
    "kwargs: {{deep: {{column_name: {0}}}}}",
    "kwargs: {{\n  other: 1,\n  column_name: {0},\n  more: 2\n}}",
    "values: [{0}]",
    "values: [1, {0}, 3]",
    "values:\n  - {{column_name: {0}}}\n  - 2",
)
IN_BLOCK = (
    "kwargs:\n  column_name: {0}\n  other: 1",
    "column_name: {0}",
    "column_name: {0}  # a comment",
    "values:\n  - {0}\n  - 2",
    "values:\n  - column_name: {0}\n    other: {{a: 1}}",
)
WITH_COLONS = (
    "description: {0}",
    "description: {0}  # a comment",
    "steps:\n  a:\n    description: {0}\n    task: {{method: m}}",
    "a:\n  - description: {0}",
    "a: {{description: {0}, b: 1}}",
)
COLONS = (
    "the mean: of x",
    "b{{ x }}: c",
    "a: b: c",
    "the mean: {{ params.column }}",
    "the mean: {{ d['x'] }} of: all",
    'a: say "x"',
)
TEXT_IN_FLOW = ("registry/{{ params.image }}:1.0", "n {{ a }} of {{ b }}", "v{{ d['x'] }}")


def follow(text: str, problem: Problem) -> str:
    """The text after writing what a hint prints in place of what stands there."""
    assert problem.hint is not None
    printed = problem.hint.partition("around it: ")[2]
    assert printed, problem
    content: str = yaml.safe_load(printed)
    at = Source(text, "").offset(problem.position)
    words = content.split(" ")
    rest, end = text[at:], 0
    for word in words:  # a line break in what stands there is a space in what is printed
        end = rest.index(word, end) + len(word)
    assert rest[:end].split() == content.split()
    return text[:at] + printed + rest[end:]


def mended(text: str) -> object:
    """What a file says once each of its hints has been followed."""
    while (problem := first(text)) is not None:
        assert follow(text, problem) != text
        text = follow(text, problem)
    return document.parse(text, "f.yaml").value


def first(text: str) -> Problem | None:
    """The first thing wrong with a file."""
    try:
        document.parse(text, "f.yaml")
    except InvalidError as error:
        return error.problems[0]
    return None


@pytest.mark.parametrize(
    ("place", "expression"),
    [
        *itertools.product(IN_FLOW + IN_BLOCK, EXPRESSIONS),
        *itertools.product(IN_FLOW, TEXT_IN_FLOW),
        *itertools.product(WITH_COLONS, COLONS),
    ],
)
def test_quotes_where_the_hint_says(place: str, expression: str) -> None:
    meant = "'" + expression.replace("\n      ", " ").replace("'", "''") + "'"
    assert mended(place.format(expression)) == yaml.safe_load(place.format(meant))


def test_several_in_one_line_are_named_each() -> None:
    text = "kwargs: {a: {{ params.a }}, b: [{{ params.b }}, {{ params.c }}]}"
    with pytest.raises(InvalidError) as caught:
        document.parse(text, "f.yaml")
    assert [problem.hint for problem in caught.value.problems] == [
        f'put quotes around it: "{{{{ params.{name} }}}}"' for name in "abc"
    ]
    assert mended(text) == {"kwargs": {"a": "{{ params.a }}", "b": ["{{ params.b }}", "{{ params.c }}"]}}


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('"{{ d["x"] }}"', "write \"{{ d['x'] }}\""),
        ("'{{ d['x'] }}'", "write '{{ d[\"x\"] }}'"),
        ('"n: {{ d["x y"] }} of {{ e["z"] }}"', "write \"n: {{ d['x y'] }} of {{ e['z'] }}\""),
        ('"{{ d["x"] ~ \'y\' }}"', 'write "{{ d[\\"x\\"] ~ \'y\' }}"'),
        ("'{{ d['x'] ~ \"y\" }}'", "write '{{ d[''x''] ~ \"y\" }}'"),
    ],
)
@pytest.mark.parametrize("place", ["a: {0}", "a: {{b: {0}, c: 1}}", "a: [{0}]", "a:\n  - {0}"])
def test_quotes_inside_quotes(place: str, line: str, hint: str) -> None:
    text = place.format(line)
    with pytest.raises(InvalidError) as caught:
        document.parse(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.hint == hint
    printed = hint.removeprefix("write ")
    found = document.parse(text.replace(line, printed), "f.yaml").value
    assert found == yaml.safe_load(place.format(printed))
    assert str(yaml.safe_load(printed)).replace("'", '"') == line[1:-1].replace("'", '"')


@pytest.mark.parametrize("text", ["a: {{ x }", "a: {b: {{ x }, c: 1}"])
def test_an_expression_that_is_not_closed(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        document.parse(text, "f.yaml")
    assert caught.value.problems[0].hint == "close the expression with }}, and put quotes around the whole value"


def test_a_very_long_value_is_not_repeated() -> None:
    with pytest.raises(InvalidError) as caught:
        document.parse("a: {{ " + "x + " * 100 + "x }}", "f.yaml")
    assert caught.value.problems[0].hint == "put quotes around the whole value"
