"""Text that is safe to show at a terminal, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from typing import TextIO

TAB = "    "

_UNSAFE = pattern(
    "["
    "\\x00-\\x1f\\x7f-\\x9f"  # controls: ESC, CSI, OSC, BEL, CR, NEL …
    "\\u2028\\u2029"  # separators of lines and paragraphs
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # marks and overrides of the writing direction
    "\\u00ad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200d"  # what cannot be seen, so
    "\\u2060-\\u2065\\u206a-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"  # that two look alike
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
    "\\ud800-\\udfff"  # lone surrogates, which no stream can write
    "]"
)


def plain(text: str, *, keep_newlines: bool = False) -> str:
    """The text with escapes (`\\x1b`) in place of characters that could harm or mislead a terminal.

    With `keep_newlines`, line breaks (also CR LF) stay and a tab becomes four spaces; else they are escaped.
    """
    if text.isascii() and text.isprintable():
        return text
    if not keep_newlines:
        return _UNSAFE.sub(_escape, text)
    return "\n".join(_UNSAFE.sub(_escape, line.replace("\t", TAB)) for line in text.replace("\r\n", "\n").split("\n"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def tolerant(stream: TextIO) -> TextIO:
    """The stream, set to write escapes for characters outside its encoding, if it supports that."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and getattr(stream, "errors", None) == "strict":
        reconfigure(errors="backslashreplace")
    return stream


def write(stream: TextIO, text: str) -> None:
    """Write text, with escapes for characters outside the stream's encoding, and flush it."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def moves(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether output on this stream can be redrawn in place: it is a terminal, and not a dumb one."""
    return stream.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")
