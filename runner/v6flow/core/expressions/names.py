"""The words of expressions: which are taken, and which may name a step."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from v6flow.core.expressions.limits import MAX_QUOTED
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFERED = ("params", "steps", "run", "federation", "organization", "each", "loop", "this", "result")
"""The names that an expression's path may begin with; which of them are known depends on the place."""

ROOTS: frozenset[str] = frozenset((*OFFERED, "matrix", "env", "secrets", "omit"))
"""These, and the names that are kept for later."""

WORDS: frozenset[str] = frozenset(
    ("true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else")
)
"""The words of the expression language, which cannot be names."""

_IN_A_STEP = "a local step's function can change a text"

HABITS: dict[str, str] = {
    **dict.fromkeys(("list", "dict"), "leave it out: values are lists and mappings already"),
    **dict.fromkeys(("int", "float"), "leave it out: numbers are numbers already; round(x) makes an integer"),
    **dict.fromkeys(("string", "str"), "leave it out, or write text around the expression"),
    **dict.fromkeys(("upper", "lower", "title", "capitalize", "trim", "replace", "split", "format"), _IN_A_STEP),
    **dict.fromkeys(("tojson", "to_json"), "write json"),
    **dict.fromkeys(("count", "len", "size"), "write length"),
    **dict.fromkeys(("avg", "average"), "write mean"),
    "d": "write default",
    "items": "write zip(keys(x), values(x))",
    "sorted": "write sort",
    "pow": "write x ** y",
    "reverse": "write x[::-1]",
    "dictsort": "write sort(keys(x))",
    "e": "leave it out: nothing is escaped",
    "escape": "leave it out: nothing is escaped",
    "safe": "leave it out: nothing is escaped",
}
"""What to write instead of functions and filters that Jinja, Python or Ansible have."""

NAME_LENGTH = 63
_NAME = pattern(r"[A-Za-z][A-Za-z0-9_]*")
_PLAIN_KEY = pattern(r"[^\W\d]\w*")


def name_problem(name: str) -> str | None:
    """Why `name` cannot name a step, a param or an `as`, with the remedy; None if it can."""
    if name in WORDS:
        return f"{name} is a word of the expression language and cannot be a name: write my_{name.lower()}"
    if name in ROOTS:
        return f"{name} already has a meaning in expressions and cannot be a name: write my_{name}"
    if not _NAME.fullmatch(name):
        return _spelling_problem(name)
    if len(name) > NAME_LENGTH:
        return f"the name {quoted(name)} is longer than {NAME_LENGTH} characters: write a shorter one"
    return None


def _spelling_problem(name: str) -> str:
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    better = re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")[:NAME_LENGTH]
    rule = "a name has letters, digits and _ and begins with a letter"
    if _NAME.fullmatch(better) and name_problem(better) is None:
        return f"{quoted(name)} cannot be a name: write {better} ({rule})"
    return f"{quoted(name)} cannot be a name: {rule}"


def quoted(word: str) -> str:
    """A user's word as it is in a message: in quotes, and not longer than a line."""
    return repr(word if len(word) <= MAX_QUOTED else f"{word[:MAX_QUOTED]}…")


def place(path: Sequence[str | int | None]) -> str:
    """A path as one writes it: `steps.a.by_organization['St. Alpha'][0]`."""
    written = [str(path[0])]
    for name in path[1:]:
        if name is None:
            written.append("[…]")
        elif isinstance(name, int):
            written.append(f"[{name}]")
        else:
            written.append(f".{name}" if _PLAIN_KEY.fullmatch(name) else f"[{quoted(name)}]")
    return "".join(written)
