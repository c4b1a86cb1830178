"""Reads a `.env` file: names and texts, without shell expansion."""

from __future__ import annotations

import re

from v6flow.core.patterns import pattern
from v6flow.errors import FederationError

_LINE = pattern(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_DOUBLE = pattern(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?')
_SINGLE = pattern(r"'([^']*)'[ \t]*(?:#.*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse(text: str, name: str) -> dict[str, str]:
    """The variables in the text of the file `name`.

    A line is empty, a comment, or `NAME=text`. A text in single quotes is literal; in double quotes a backslash
    before n, r, t, ", $ and itself means what it does in a shell; without quotes it ends where ` #` begins.
    Raises FederationError, which names the line and never quotes it.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise FederationError(f"{name}:{number}: not a line like NAME=text")
        if match[1] in found:
            raise FederationError(f"{name}:{number}: {match[1]} is defined twice")
        found[match[1]] = _text(match[2], f"{name}:{number}")
    return found


def _text(written: str, where: str) -> str:
    if written.startswith("'"):
        quoted = _SINGLE.fullmatch(written)
        if quoted is None:
            raise FederationError(f"{where}: the closing ' is missing")
        return quoted[1]
    if written.startswith('"'):
        quoted = _DOUBLE.fullmatch(written)
        if quoted is None:
            raise FederationError(f'{where}: the closing " is missing')
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), quoted[1])
    return re.split(r"(?:^|[ \t])#", written, maxsplit=1)[0].rstrip()
