"""What an unquoted YAML scalar is: a word, a number, a text, or a spelling that readers disagree on."""

from __future__ import annotations

import math
import re

from v6flow.core.json import MAX_DIGITS
from v6flow.core.patterns import pattern

WORDS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
    "~": None,
}
"""The scalars that are neither text nor numbers."""

_NUMBER_START = frozenset("0123456789+-.")
_JSON_NUMBER = pattern(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_ODD_NUMBER = pattern(
    r"[-+]?(?:"
    r"0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+"  # other bases
    r"|[0-9][0-9_,]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?"  # 010, +1, 1_000, 1,000 (Ruby reads it as 1000), 1.
    r"|\.[0-9][0-9_]*(?:e[-+]?[0-9]+)?"  # .5
    r"|\.(?:inf|nan)"
    r")",
    re.IGNORECASE,
)
_SHOWN = 40  # characters of a spelling that a message repeats


class OddScalarError(ValueError):
    """A spelling that some reader takes for another value; `hint` says how to write what was meant."""

    def __init__(self, rule: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.hint = hint


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar that is not empty; raises OddScalarError."""
    if text in WORDS:
        return WORDS[text]
    if text in {"Null", "NULL"}:
        message = f"{text} is null to some readers, text to others"
        raise OddScalarError("odd-null", message, f'write "{text}" for the text, or null')
    if text[0] not in _NUMBER_START:
        return text
    if match := _JSON_NUMBER.fullmatch(text):
        return _number(text, match)
    if _ODD_NUMBER.fullmatch(text):
        raise _odd_number(text)
    return text


def _number(text: str, match: re.Match[str]) -> int | float:
    if match[2] is None and match[3] is None:
        if len(text) > MAX_DIGITS:
            message = f"an integer of {len(text)} digits"
            raise OddScalarError("long-number", message, "put quotes around it if it is text")
        return int(text)
    number = float(text)
    vanished = number == 0 and (match[1] + (match[2] or "")).strip("0.")
    if math.isinf(number) or vanished:
        raise _odd_number(text)
    return number


def _odd_number(text: str) -> OddScalarError:
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    message = f"{shown} is one number, another, or text, depending on who reads it"
    if shown != text:
        return OddScalarError("odd-number", message, "put quotes around it if it is text")
    return OddScalarError("odd-number", message, f'write "{shown}" for the text, or {_plain_spelling(text)}')


def _plain_spelling(text: str) -> str:
    """What to write if a number was meant."""
    digits = text.lower().replace("_", "").replace(",", "")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("+-")
    if digits in {".inf", ".nan"}:
        return "null: a file holds finite numbers only"
    if len(digits) > _SHOWN:
        return "a plain number"
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix) and len(digits) > len(prefix):
            return f"{sign}{int(digits, base)} for the number"
    if digits.isdigit():
        return _integer_spelling(sign, digits)
    number = float(digits)
    if math.isinf(number):
        return "a number that is not too large"
    return f"{sign}{number!r} for the number"


def _integer_spelling(sign: str, digits: str) -> str:
    decimal = int(digits)
    if digits[0] == "0" and decimal and not set(digits) & {"8", "9"} and int(digits, 8) != decimal:
        return f"{sign}{decimal} or {sign}{int(digits, 8)} (its octal reading) for the number"
    return f"{sign}{decimal} for the number"
