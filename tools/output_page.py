"""Write docs/output.md: its prose from a template, its tables from the views."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.core.views import (
    asking,
    documents,
    drawing,
    explained,
    explanation,
    incomplete,
    inputs,
    preview,
    summary,
    timeline,
)
from v6flow.core.views.base import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "output.md"
TEMPLATE = Path(__file__).with_name("output.template.md")

VIEWS: dict[str, type[View]] = {
    name: found
    for module in (asking, documents, drawing, explained, explanation, incomplete, preview, summary, inputs, timeline)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, View)
}
"""All views by name."""

_MARK = re.compile(r"\{\{(table|keys) ([\w ]+?)(?:: ([\w ]+))?\}\}")
_LINE = re.compile(r"^(\w+)(?: \(([^)]*)\))?: (.*)$")
_WORDS = {
    "str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Json": "any value",
    "None": "null", "tuple": "list", "list": "list", "dict": "mapping", "Mapping": "mapping", "Given": "any value",
}  # fmt: skip


def page() -> str:
    """The page from the current views and template."""
    return _MARK.sub(lambda mark: _filled(mark[1], mark[2].split(), mark[3]), TEMPLATE.read_text("utf-8"))


def _filled(what: str, names: list[str], everywhere: str | None) -> str:
    rows = [row for name in names for row in rows_of(VIEWS[name])]
    if what == "keys":
        return ", ".join(f"`{key}`" for key, of, _, _ in rows if not of)
    if everywhere is None:
        lines = [f"| `{key}` | {kind} | {meaning} |" for key, of, kind, meaning in rows if not of]
        return "\n".join(["| key | | |", "|---|---|---|", *lines])
    lines = [f"| `{key}` | {of or everywhere} | {kind} | {meaning} |" for key, of, kind, meaning in rows]
    return "\n".join(["| key | of | | |", "|---|---|---|---|", *lines])


def rows_of(view: type[View]) -> Iterator[tuple[str, str, str, str]]:
    """For each field of a view: its key, the cases in which it exists (empty: all), its type and its meaning.

    Raises KeyError for a field that the docstring of the view does not describe.
    """
    meanings = described(view)
    annotations = inspect.get_annotations(view)
    for name in view.__struct_fields__:
        if name in view.HIDDEN:
            continue
        annotation = annotations[name]
        if name in view.FLAT:
            yield from rows_of(VIEWS[annotation.removesuffix(" | None")])
            continue
        of, meaning = meanings[name]
        yield view.NAMES.get(name, name), of, spelt(annotation, optional=bool(of)), meaning


def described(view: type[View]) -> Mapping[str, tuple[str, str]]:
    """For each field in a view's docstring: the cases in which it exists, and its meaning."""
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for line in inspect.cleandoc(view.__doc__ or "").split("\n"):
        if match := _LINE.match(line):
            last = match[1]
            found[last] = match[2] or "", match[3]
        elif last and line.startswith("    "):
            of, meaning = found[last]
            found[last] = of, f"{meaning} {line.strip()}"
    return found


def spelt(annotation: str, *, optional: bool = False) -> str:
    """A type in words; one that is left out is never null."""
    words = list(dict.fromkeys(_spelt(ast.parse(annotation, mode="eval").body)))
    if optional and "null" in words:
        words.remove("null")
    return " or ".join(words)


def _spelt(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BinOp():
            yield from _spelt(node.left)
            yield from _spelt(node.right)
        case ast.Subscript():
            yield from _spelt(node.value)
        case ast.Constant():
            yield str(_WORDS[str(node.value)])
        case ast.Name():
            yield _WORDS.get(node.id, "mapping")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
