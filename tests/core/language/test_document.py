"""Reading YAML: values, places, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.language import document, scalars
from v6flow.core.language.document import Document, parse
from v6flow.core.language.problem import InvalidError, Position, Problem
from v6flow.core.language.source import decode

TEXT = """\
# a comment
name: ünïcödé 😀 text   # after it
list:
- one
-   two: 2
    more: [a, {b: c}]
"quoted key": 'quoted'
block: |
  first
  second
empty: {}
"""


def refused(text: bytes | str) -> list[Problem]:
    with pytest.raises(InvalidError) as caught:
        parse(text, "file.yaml")
    return list(caught.value.problems)


def refused_once(text: bytes | str) -> Problem:
    problems = refused(text)
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def parse_by_own_parser(text: str) -> Document:
    """The document as PyYAML's own parser reads it, which is used where libyaml is missing."""
    return document._Pass(decode(text, "file.yaml"), document._own_parser(text).get_event).read()


def test_values() -> None:
    assert parse(TEXT, "x").value == {
        "name": "ünïcödé 😀 text",
        "list": ["one", {"two": 2, "more": ["a", {"b": "c"}]}],
        "quoted key": "quoted",
        "block": "first\nsecond\n",
        "empty": {},
    }


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), (2, 1), (2, 1)),
        (("name",), (2, 7), (2, 1)),
        (("list",), (4, 1), (3, 1)),
        (("list", 0), (4, 3), (4, 3)),
        (("list", 1), (5, 5), (5, 5)),
        (("list", 1, "two"), (5, 10), (5, 5)),
        (("list", 1, "more"), (6, 11), (6, 5)),
        (("list", 1, "more", 1, "b"), (6, 19), (6, 16)),
        (("quoted key",), (7, 15), (7, 1)),
        (("block",), (8, 8), (8, 1)),
        (("empty",), (11, 8), (11, 1)),
    ],
)
@pytest.mark.parametrize("read", [lambda text: parse(text, "x"), parse_by_own_parser], ids=["libyaml", "own"])
def test_places(read: Any, path: Any, value: Any, key: Any) -> None:
    found = read(TEXT)
    assert found.position(path) == Position(*value)
    assert found.key_position(path) == Position(*key)


@pytest.mark.parametrize("path", [("list", 7), ("list", -1), ("list", "one"), ("list", "x", "y", 0)])
def test_place_of_what_is_not_there_is_that_of_the_nearest_ancestor(path: Any) -> None:
    found = parse(TEXT, "x")
    assert found.position(path) == Position(4, 1)
    assert found.key_position(path) == Position(3, 1)


def test_place_at_the_top_of_what_is_not_there() -> None:
    assert parse(TEXT, "x").position(("nothing", "at", 0)) == Position(2, 1)


def test_column_counts_characters() -> None:
    assert parse("{ünï😀: 1, b: 2}", "x").position(("b",)) == Position(1, 14)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines(end: str) -> None:
    found = parse(TEXT.replace("\n", end), "x")
    assert found.line(2) == "name: ünïcödé 😀 text   # after it"
    assert found.line(10) == "  second"
    assert found.line(12) == found.line(0) == found.line(99) == ""
    assert found.position(("empty",)) == Position(11, 8)


def test_text_without_a_last_line_end() -> None:
    assert parse("a: 1\nb: 2", "x").line(2) == "b: 2"


def test_scalars() -> None:
    text = "[1, -1, 1.5, 1e-6, 1E5, true, FALSE, ~, null, NO, 12:30, 2024-01-01, =, 'true', \"1\", 1.2.3]"
    value = parse(f"a: {text}", "x").value["a"]
    numbers = [1, -1, 1.5, 1e-6, 100000.0, True, False, None, None]
    expected = [*numbers, "NO", "12:30", "2024-01-01", "=", "true", "1", "1.2.3"]
    assert value == expected
    assert [type(item) for item in value] == [type(item) for item in expected]


def test_a_scalar_that_repeats_is_the_same_each_time() -> None:
    assert parse("a: [1, 1, x, x, null, null]\nb: 1", "x").value == {
        "a": [1, 1, "x", "x", None, None],
        "b": 1,
    }


def test_an_odd_scalar_is_refused_each_time() -> None:
    assert [problem.position for problem in refused("a: 010\nb: [010]\n")] == [Position(1, 4), Position(2, 5)]


def test_keys_are_text_as_written() -> None:
    assert list(parse("true: 1\n010: 2\nnull: 3\n1.50: 4\nNO: 5\n", "x").value) == [
        "true",
        "010",
        "null",
        "1.50",
        "NO",
    ]


def test_several_problems_in_one_pass() -> None:
    rules = [problem.rule for problem in refused("a: 010\nb: &x 1\na: 1\nc: *x\nd:\ne: !!str x\n<<: {}\n")]
    assert rules == ["odd-number", "anchor", "duplicate-key", "alias", "blank", "tag", "merge-key"]


def test_a_third_duplicate_still_names_the_first() -> None:
    problems = refused("a: 1\nb: 2\na: 3\na: 4\nb: 5\n")
    assert [(p.position.line, p.message) for p in problems] == [
        (3, "the key `a` is already at 1:1"),
        (4, "the key `a` is already at 1:1"),
        (5, "the key `b` is already at 2:1"),
    ]


def test_a_quoted_key_is_a_duplicate_of_a_bare_one() -> None:
    assert refused_once('a: 1\n"a": 2\n').rule == "duplicate-key"


def test_a_quoted_merge_key_is_a_key() -> None:
    assert parse('"<<": 1', "x").value == {"<<": 1}


def test_a_syntax_fault_comes_once() -> None:
    assert refused_once("a: {b: c, d\ne: 1\n").rule == "syntax"


def test_problems_before_a_syntax_fault_are_kept() -> None:
    assert [problem.rule for problem in refused("a: 010\nb: [1\n")] == ["odd-number", "syntax"]


def test_a_secret_is_not_repeated() -> None:
    assert "0123" not in str(refused_once("password: 0123"))


def test_number_spellings() -> None:
    with pytest.raises(scalars.OddScalarError) as caught:
        scalars.resolve("-0x1F")
    assert '"-0x1F" for the text, or -31 for the number' in caught.value.hint


ODD_NUMBERS = "010 -007 0b1 0B1 0O7 0X1f 1__0 1,5 +.5 -.5 1.e5 +0 00 .INF -1e999 0_"


@pytest.mark.parametrize("text", ODD_NUMBERS.split())
def test_odd_numbers(text: str) -> None:
    with pytest.raises(scalars.OddScalarError) as caught:
        scalars.resolve(text)
    assert caught.value.rule == "odd-number"


@pytest.mark.parametrize(
    "text", ["1.2.3", "1e", "0x", "0xG", "-", "+", ".", "..", "1:30", "-a", "1a", "e5", "١", "1-2", ".a"]
)
def test_texts(text: str) -> None:
    assert scalars.resolve(text) == text


def test_alias_bomb() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    problems = refused("\n".join(lines))
    assert len(problems) == document.MAX_PROBLEMS
    assert {problem.rule for problem in problems} == {"anchor", "alias"}


def test_merge_key_bomb() -> None:
    lines = [
        "a0: &a0 {x: 1}",
        *(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
    ]
    problems = refused("\n".join(lines))
    assert len(problems) == document.MAX_PROBLEMS
    assert {problem.rule for problem in problems} == {"anchor", "alias", "merge-key"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "[{a: ", "- ", "? ", "{? ", "[? ", "? [", "{["])
def test_nesting_bomb(opening: str) -> None:
    problems = refused(f"a:\n  {opening * 200_000}")
    assert {problem.rule for problem in problems} & {"depth", "syntax"}
    assert len(problems) <= document.MAX_PROBLEMS


@pytest.mark.parametrize("read", [lambda text: parse(text, "x"), parse_by_own_parser], ids=["libyaml", "own"])
def test_depth(read: Any) -> None:
    deepest = document.MAX_DEPTH - 1
    assert read("a: " + "[" * deepest + "]" * deepest).value
    with pytest.raises(InvalidError) as caught:
        read("a: " + "[" * (deepest + 1) + "]" * (deepest + 1))
    assert caught.value.problems[0].rule == "depth"


def test_too_many_containers() -> None:
    assert refused_once("a: [" + "[]," * (document.MAX_CONTAINERS + 1) + "]").rule == "too-large"


def test_too_large() -> None:
    text = "a: 1\n#" + "x" * document.MAX_BYTES
    assert refused_once(text).rule == refused_once(text.encode()).rule == "too-large"
    assert parse(text[: document.MAX_BYTES], "x").value == {"a": 1}


@pytest.mark.parametrize(
    ("data", "rule", "place"),
    [
        (b"\xef\xbb\xbfa: 1", "bom", (1, 1)),
        ("a: 1".encode("utf-16"), "encoding", (1, 1)),
        ("a: 1".encode("utf-16-le"), "encoding", (1, 1)),
        ("a: 1".encode("utf-16-be"), "encoding", (1, 1)),
        ("a: 1".encode("utf-32"), "encoding", (1, 1)),
        (b"\x00\x00\xfe\xff\x00\x00\x00a", "encoding", (1, 1)),
        ("a: 1\n\u00fc: \u00fc".encode() + b"\xff", "encoding", (2, 5)),
        (b"a: 1\nb: \xed\xa0\x80", "encoding", (2, 4)),
        (b"a: 1\nb: x\x00y", "character", (2, 5)),
        (b"a: \x1b[0m", "character", (1, 4)),
        (b"a: \x7f", "character", (1, 4)),
        ("a: \u0085", "character", (1, 4)),
        ("a: 1\nb: \ud800", "character", (2, 4)),
        ("a: \ufeff", "character", (1, 4)),
        ("a: \uffff", "character", (1, 4)),
        (b"\ta: 1", "tab", (1, 1)),
        (b"a: 1\n\tb: 1\n\tc: 1", "tab", (2, 1)),
        (b"", "empty", (1, 1)),
        (b"\n\n", "empty", (1, 1)),
    ],
)
def test_odd_bytes(data: bytes | str, rule: str, place: tuple[int, int]) -> None:
    problem = refused_once(data)
    assert (problem.rule, problem.position) == (rule, Position(*place))
    assert problem.hint
    assert problem.file == "file.yaml"


def test_more_tabs_are_counted() -> None:
    assert "2 more" in refused_once("a:\tb\nc:\td\t").message


@pytest.mark.parametrize(
    "line", ["a: {{ x }}", "a: [{{ x }}]", "a: {b: {{ x }}}", "a: {{x}}", "a: {{ d['x'] }}", "a: {{ x }}/y"]
)
def test_expressions_without_quotes(line: str) -> None:
    problem = refused_once(f"v6flow: 1\n{line}\n")
    assert problem.rule == "unquoted-expression"
    assert problem.position == Position(2, line.index("{{") + 1)


def test_own_parser_on_syntax() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_by_own_parser('a: "{{ d["x"] }}"\n')
    assert [problem.rule for problem in caught.value.problems] == ["quotes-in-expression"]


SIGNS = [
    ": ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    '"',
    "'",
    "|",
    ">",
    "!",
    "%",
    "#",
    "? ",
    "\\",
    "@",
    "`",
]
WORDS = ["a", "b: ", "&a", "*a", "<<: ", "{{ ", " }}", "1", "010", "~", "é", "---\n", "...\n"]
ODD = ["\t", "\r", "\0", "\ud800", "\u2028"]
PIECES = st.sampled_from(SIGNS + WORDS + ODD)


def read_or_refuse(read: Any, text: bytes | str) -> None:
    try:
        found = read(text)
    except InvalidError as error:
        problems = error.problems
    else:
        assert isinstance(found.value, dict)
        assert_places(found, found.value, ())
        return
    assert problems
    assert all(problem.hint and problem.message for problem in problems)


def entries(value: Any) -> Any:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def assert_places(found: Document, value: Any, path: Any) -> None:
    """Every value has a place in the text, and a plain text is found right there."""
    place = found.position(path)
    rest = found.line(place.line)[place.column - 1 :]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert rest[0] in "-0123456789"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        assert_places(found, item, (*path, key))


@given(st.text() | st.binary() | st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_a_document_or_refused(text: bytes | str) -> None:
    read_or_refuse(lambda text: parse(text, "x"), text)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_by_the_own_parser(text: str) -> None:
    read_or_refuse(parse_by_own_parser, text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abc 1:{}"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES))
def test_json_is_read_as_it_is(value: dict[str, Any]) -> None:
    import json

    assert parse(json.dumps(value), "x").value == value


def test_libyaml_is_used_where_it_is() -> None:
    assert ("_yaml" in type(document._parser("a: 1")).__module__) == yaml.__with_libyaml__
