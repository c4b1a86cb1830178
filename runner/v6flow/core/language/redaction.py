"""What of a file's text may be shown: that of a file of ours, without the values under secret keys."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core.language.problem import Problem
from v6flow.core.language.words import nearest
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLANK = "…"
NOT_YAML = "this is not YAML"  # begins a message that continues in a parser's words, which may quote

MARKS = {"federation": "v6flow_federation", "test": "v6flow_test", "workflow": "v6flow"}
"""The key that says of what kind a file is."""

SECRET_VALUE = pattern(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[opsu]_\w{30,}|\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*"
    r"|(?<=/)[^/\s:@]*:[^/\s@]+(?=@)"
)
"""What looks like a secret wherever it stands: a private key, tokens, a user and a password in an address."""

_MARK = pattern(
    rb"^(?:\xef\xbb\xbf)?[\"']?(v6flow(?:_federation|_test)?)[\"']?\s*:|\A\s*\{\s*[\"']?(v6flow\w*)[\"']?\s*:",
    re.MULTILINE,
)
_SECRET = pattern(
    r"passw|passphrase|passcode|(?:^|[_.-])pass(?:$|[_.-])|[a-z]pass$|pwd|secret|token|credential|totp|(?:^|[_.-])otp"
    r"|(?:api|private|access|ssh|sign|signing|encryption|master|account|storage|shared|app)[_.-]?key"
    r"|authoriz|(?:^|[_.-])auth(?:$|[_.-])|bearer|cookie|mfa_?code",
    re.IGNORECASE,
)
_NAMES = (
    "password",
    "passphrase",
    "totp_secret",
    "private_key",
    "client_secret",
    "api_key",
    "access_token",
    "credentials",
)
_INITIALS = frozenset(name[0] for name in _NAMES)
_NEAR = 0.8
_SHORTEST = 3  # characters: what is shorter is in any message
_KEY = pattern(
    r"(?<!\w)([\"']?)([A-Za-z_][\w.-]{0,99})\1[ \t]*[:=][ \t]*"
    r"|(?:^|(?<=[{\[,]))[ \t]*(?:- +|\? +)*([A-Za-z_][\w.-]{0,99})(?:[ \t]+|$)"
)
_REFERENCE = pattern(r"([\"']?)\$\{(?:env|file|keyring):[^{}]+\}\1(?=[\s,}\]]|$)")
_END_OF_KEY = pattern(r"-----END [A-Z ]*PRIVATE KEY")

_STATIC = {
    "blank": "a key or an item with no value",
    "duplicate-key": "a key is in one mapping twice",
    "odd-number": "a number that YAML readers understand differently",
    "odd-null": "a null that YAML readers understand differently",
    "long-number": "an integer of too many digits",
    "alias": "aliases (*) are not accepted",
    "anchor": "anchors (&) are not accepted",
    "tag": "tags (!) are not accepted",
    "merge-key": "merge keys (<<) are not accepted",
    "unquoted-expression": "an expression needs quotes here",
    "quotes-in-expression": "a quote ends the text in the middle of an expression",
}
_QUOTE_NOTHING = {
    "empty", "too-large", "encoding", "bom", "character", "tab", "top-level", "several-documents", "directive", "depth",
    "syntax", "odd-key", "wrong-file", "format",
}  # fmt: skip
"""The rules of reading whose messages repeat no text of the file; _STATIC has what to say by the others."""

_QUOTES = "put quotes around it"
_STATIC_HINTS = {"odd-number": _QUOTES, "odd-null": _QUOTES, "long-number": _QUOTES}


def kind_of(text: bytes) -> str | None:
    """What a text says of itself at the beginning of a line: `workflow`, `federation`, `test`; None if nothing."""
    found = {next(mark for mark in match.groups() if mark).decode() for match in _MARK.finditer(text)}
    return next((kind for kind, mark in MARKS.items() if mark in found), None)


@functools.lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Whether what is under a key is to be kept from messages, by the key's name; a misspelt one too."""
    if _SECRET.search(key):
        return True
    likely = 4 < len(key) < 20 and key[0].lower() in _INITIALS  # looking for near words takes long
    return likely and nearest(key.replace("-", "_"), _NAMES, cutoff=_NEAR) is not None


def told(problems: Sequence[Problem], text: bytes | str, kind: str) -> list[Problem]:
    """The problems of a text that was to be of a kind, without what must not be repeated of it.

    Of a text that does not say that it is a file of ours, it is the first one, in words that quote nothing.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if kind_of(data) is None:
        return [_unquoted(problems, kind)]
    _, lines, hidden = _scanned(normal(data))
    return [_without_secrets(each, lines, hidden) for each in problems]


def normal(data: bytes) -> str:
    """A file's text with its lines ended as we count them; what is no UTF-8 is replaced."""
    return re.sub(r"\r\n?", "\n", data.decode("utf-8", "replace"))


def _without_secrets(problem: Problem, lines: Sequence[str], hidden: Sequence[Sequence[tuple[int, int]]]) -> Problem:
    """A problem that does not repeat what is secret in its line."""
    number, column = problem.position.line, problem.position.column - 1
    if not 0 < number <= len(lines):
        return problem
    for start, end in hidden[number - 1]:
        if problem.rule in _STATIC and start <= column < end:
            return _static(problem)
        secret = lines[number - 1][start:end].strip(" \t\"'{}[],:")
        if len(secret) >= _SHORTEST and secret in f"{problem.message} {problem.hint}":
            hint = problem.hint and problem.hint.replace(secret, BLANK)
            problem = replace(problem, message=problem.message.replace(secret, BLANK), hint=hint)
    return problem


def _unquoted(problems: Sequence[Problem], kind: str) -> Problem:
    """The first problem of a text that may be none of ours, in words that quote nothing."""
    first, mark = problems[0], MARKS.get(kind)
    if first.rule in _QUOTE_NOTHING and not first.message.startswith(NOT_YAML):
        return replace(first, hint=_QUOTES) if (first.hint or "").startswith(_QUOTES) else first
    if mark is None:
        return _static(first)
    missing = f"the file has no `{mark}`"
    unmarked = next((each for each in problems if each.rule == "missing-key" and each.message == missing), None)
    if unmarked is not None:
        return unmarked
    hint = f"a {kind} file says `{mark}: 1` at the beginning of a line; the text of any other file is not shown"
    return Problem(f"this is no {kind} file", first.rule, first.file, first.position, hint)


def _static(problem: Problem) -> Problem:
    """A problem in words that quote nothing."""
    message = _STATIC.get(problem.rule, "this cannot be read")
    return replace(problem, message=message, hint=_STATIC_HINTS.get(problem.rule))


def excerpt(text: str, line: int, column: int) -> tuple[str, int] | None:
    """A line of a file, from 1, without secrets, and where a column of it has come to be; None if it is not shown."""
    is_ours, lines, hidden = _scanned(text)
    if not is_ours or not 0 < line <= len(lines):
        return None
    return _blanked(lines[line - 1], hidden[line - 1], column)


@functools.lru_cache(maxsize=2)  # of one file there are often many excerpts
def _scanned(text: str) -> tuple[bool, list[str], list[list[tuple[int, int]]]]:
    """Whether a text says that it is a file of ours, its lines, and what of each is secret."""
    lines = text.split("\n")
    return kind_of(text.encode("utf-8", "surrogatepass")) is not None, lines, list(_hidden(lines))


def blank(text: str) -> str:
    """A text without the secrets in it."""
    _, lines, hidden = _scanned(text)
    return "\n".join(_blanked(line, spans, 1)[0] for line, spans in zip(lines, hidden, strict=True))


def _blanked(line: str, spans: Sequence[tuple[int, int]], column: int) -> tuple[str, int]:
    shown, last, moved = "", 0, column
    for start, end in spans:
        shown += line[last:start] + BLANK
        if column - 1 >= end:
            moved -= end - start - len(BLANK)
        elif column - 1 > start:
            moved -= column - 1 - start
        last = end
    return shown + line[last:], moved


def _hidden(lines: Sequence[str]) -> Iterator[list[tuple[int, int]]]:
    """What of each line is secret, as columns from 0: the values under secret keys, to the end of the line and below.

    Values are not parsed, since the text may be no YAML: what follows a secret key is hidden, and what is indented
    deeper than it, and a list at its height, and all up to the quote that closes its value.
    """
    above: int | None = None  # the indentation of a secret key whose value may continue
    empty = False  # nothing is behind that key
    closing: re.Pattern[str] | None = None  # what ends a value of several lines
    for line in lines:
        indent = len(line) - len(line.lstrip(" \t"))
        rest = line.strip()
        if closing is not None:
            yield [(indent, len(line))] if rest else []
            closing = None if closing.search(line) else closing
            continue
        goes_on = above is not None and (
            not rest or indent > above or (empty and indent == above and rest[:1] in ("-", ":", "}", "]"))
        )
        if goes_on:
            yield [(indent, len(line))] if rest else []
            continue
        above = None
        spans = [match.span() for match in SECRET_VALUE.finditer(line)]
        if "-----BEGIN " in line and spans and not _END_OF_KEY.search(line):
            closing = _END_OF_KEY
        found = _secret(line)
        if found is not None:
            start, value = found
            above = indent if set("{[") & set(line[:start]) else start
            empty = value >= len(line.rstrip())
            spans = [span for span in spans if span[1] <= value] + ([(value, len(line))] if value < len(line) else [])
            quote = line[value : value + 1]
            if quote in ('"', "'") and not re.search(rf"(?<!\\){quote}", line[value + 1 :]):
                closing = re.compile(rf"(?<!\\){quote}")
        yield spans


def _secret(line: str) -> tuple[int, int] | None:
    """Where the first secret key of a line begins, and the value behind it; a reference is no secret."""
    for match in _KEY.finditer(line):
        name = match[2] or match[3]
        if not is_secret(name) or _REFERENCE.match(line, match.end()):
            continue
        explicit = match[0].find("?")  # `? password`, and its value below at the height of the question mark
        return max(match.start(2), match.start(3)) if explicit < 0 else match.start() + explicit, match.end()
    return None
