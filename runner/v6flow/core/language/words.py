"""Which right word a wrong one stands for."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = pattern(r"(?![&*!|>%@`?#'\"])(?:[^,{}:#\"]|:(?! |$)|(?<! )#)+")  # needs no quotes in YAML, nor in a list

MAX_WORD = 200  # characters: nobody mistypes a longer word
NEAR_FILE = 0.75  # how alike the names of files must be for one to be taken for the other
MAX_WORDS = 1_000  # looking for a nearest word among more costs more than the hint is worth


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of some words that is most like a word, whatever the case; None if none is.

    `cutoff` is how alike they must be: 0 anything, 1 the same.
    """
    if len(word) > MAX_WORD:
        return None
    by_case = {each.lower(): each for each in islice(words, MAX_WORDS)}
    close = get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[close[0]] if close else None


def suggestion(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """A hint that names the nearest right word, None if there is none."""
    near = nearest(word, words, cutoff=cutoff)
    return f"did you mean {_spelled(near)}?" if near else None


def _spelled(word: str) -> str:
    """A word as a file takes it: names of organizations may hold what YAML and lists give a meaning."""
    if _PLAIN.fullmatch(word):
        return word
    from v6flow.core.language import quoting

    return quoting.quoted(word)
