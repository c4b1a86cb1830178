from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from v6flow.reporters.terminal import moves, plain, tolerant, write

HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
VISIBLE = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\u115f\u1160\u3164\uffa0"))


@given(st.text(st.characters(categories=None)))
@example("\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\")
@example("\u2028\u2029\u202e\ufeff\U000e0041\ud800")
def test_nothing_that_comes_out_controls_the_terminal(text: str) -> None:
    shown = plain(text)
    # format characters that take a place of their own and turn nothing (Arabic and Egyptian signs) may stay
    left = {char for char in shown if unicodedata.category(char) in HARMFUL}
    assert {char for char in left if unicodedata.category(char) != "Cf"} == set()
    assert {unicodedata.bidirectional(char) for char in left} <= {"AN", "AL", "L", "NSM", ""}
    shown.encode("utf-8")


@given(st.text(st.characters(categories=None)))
def test_with_newlines_kept_only_they_remain_of_the_controls(text: str) -> None:
    shown = plain(text, keep_newlines=True)
    assert {char for char in shown if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}} <= {"\n"}
    assert shown.count("\n") == text.count("\n")


@given(VISIBLE)
def test_what_can_be_seen_is_unchanged(text: str) -> None:
    assert plain(text) == text
    assert plain(text, keep_newlines=True) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\rxyz", "abc\\rxyz"),
        ("two\nlines", "two\\nlines"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("al\u200bpha", "al\\u200bpha"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("a\u0301 Krankenhäuser 病院", "a\u0301 Krankenhäuser 病院"),
    ],
)
def test_what_harms_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_lines_and_tabs_of_a_log_keep_their_shape() -> None:
    assert plain("a\r\n\tb\rc", keep_newlines=True) == "a\n    b\\rc"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_that_lacks_characters_gets_escapes(encoding: str) -> None:
    binary = io.BytesIO()
    stream = io.TextIOWrapper(binary, encoding=encoding)
    write(stream, "é 病\n")
    assert binary.getvalue() == "é 病\n".encode(encoding, "backslashreplace")


def test_a_strict_stream_is_made_tolerant() -> None:
    binary = io.BytesIO()
    stream = tolerant(io.TextIOWrapper(binary, encoding="ascii"))
    stream.write("é")
    stream.flush()
    assert binary.getvalue() == b"\\xe9"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("term", "moving"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_only_a_terminal_that_can_be_redrawn_moves(term: str, moving: bool) -> None:
    assert moves(Terminal(), {"TERM": term}) is moving
    assert not moves(io.StringIO(), {"TERM": term})
