"""The text of a file: decoded, free of odd characters, and able to tell line and column of an offset."""

from __future__ import annotations

from bisect import bisect_right
from typing import NoReturn

from v6flow.core.language.problem import InvalidError, Position, Problem
from v6flow.core.patterns import pattern

MAX_BYTES = 8 * 1024 * 1024  # eight times a workflow of 10,000 steps; read in two seconds

_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ODD_CHARACTER = pattern(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)  # NEL, LS and PS among them: some readers end a line there
_LINE_END = pattern(r"\r\n|\r|\n")


class Source:
    """A text and the name of its file."""

    __slots__ = ("_starts", "name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._starts: list[int] = []

    def place(self, offset: int) -> Position:
        """Line and column of a character, given by its offset from 0."""
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return Position(line, offset - starts[line - 1] + 1)

    def offset(self, place: Position) -> int:
        """The offset from 0 of a place in the text."""
        return self._line_starts()[place.line - 1] + place.column - 1

    def line(self, number: int) -> str:
        """The text of a line, numbered from 1, without its end; empty beyond the last."""
        starts = self._line_starts()
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")

    def problem(self, offset: int, rule: str, message: str, hint: str | None = None) -> Problem:
        """A problem with the place of an offset."""
        return Problem(message, rule, self.name, self.place(offset), hint)

    def _line_starts(self) -> list[int]:
        if not self._starts:
            self._starts = [0, *(end.end() for end in _LINE_END.finditer(self.text))]
        return self._starts


def decode(data: bytes | str, name: str) -> Source:
    """The text of a file; raises InvalidError for its size, encoding, odd characters or tabs."""
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES >> 20} MiB"
        _refuse(Source("", name), 0, "too-large", message, "move data to other files")
    source = Source(_decode_bytes(data, name) if isinstance(data, bytes) else data, name)
    text = source.text
    if text.startswith("\ufeff"):
        _refuse(source, 0, "bom", "the file begins with a byte order mark", "save it as UTF-8 without BOM")
    if odd := _ODD_CHARACTER.search(text):
        message = f"the character U+{ord(odd.group()):04X} cannot stand in a file"
        hint = 'remove it; in "double quotes" a character can be written as \\u and its four digits'
        _refuse(source, odd.start(), "character", message, hint)
    if (tab := text.find("\t")) >= 0:
        others = text.count("\t") - 1
        message = "a tab" + (f" ({others} more follow)" if others else "")
        _refuse(source, tab, "tab", message, 'use spaces; in "double quotes" a tab is written as \\t')
    return source


def _decode_bytes(data: bytes, name: str) -> str:
    empty = Source("", name)
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            _refuse(empty, 0, "encoding", f"the file is {encoding}", "save it as UTF-8")
    if b"\0" in data[:4]:
        _refuse(empty, 0, "encoding", "the file is not UTF-8 text, perhaps UTF-16", "save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = Source(data[: error.start].decode("utf-8"), name)
        message = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        _refuse(before, len(before.text), "encoding", message, "save the file as UTF-8")


def _refuse(source: Source, offset: int, rule: str, message: str, hint: str) -> NoReturn:
    raise InvalidError([source.problem(offset, rule, message, hint)], what=source.name)
