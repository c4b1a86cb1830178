"""All texts in the source that tell a person what to do next, found by reading it."""

from __future__ import annotations

import ast
import json
import re
import string
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "runner" / "v6flow"
SCHEMAS = PROJECT / "schemas"

NOT_MESSAGES = ("cli/commands.py", "core/language/reference.py")
"""Modules of which the texts are pages: the list of commands, and the reference."""

HOLE = "{}"
"""What stands in a template for what the program fills in."""

_NAMED = re.compile(r"hint|remed|HINT|REMED")
_ADVISING = re.compile(
    r"""(?x)
    \bdid\ you\ mean\b
  | `v6flow\ | \bv6flow\ [a-z]+(?:-[a-z]+)?\ (?:RUN|FILE|WORKFLOW|--|\{\})     # a command to type
  | (?:^|[;:,(]\ |\bor\ |\band\ |\bthen\ )                                     # and a verb that asks for something
    (?:write|say|put|use|add|give|name|leave|set|take|make|raise|choose|start|undo|remove)\b
  | \(give\ it\ with
    """
)
"""A message that says what to do, where nothing else marks it as a hint."""

_WORD = re.compile(r"[a-z_-]+")
"""A name in the code: of a rule, say."""

_FIELD = re.compile(r"(?<!\{)\{[a-z]+\}")
"""What `str.format` fills in by a name."""

_SILENT_KEYWORDS = {"help", "description", "metavar", "prog", "epilog"}  # what argparse shows in --help


@dataclass(frozen=True)
class Hint:
    """A text with holes, and where it stands."""

    template: str
    places: tuple[str, ...]

    def matches(self, printed: str) -> bool:
        """Whether a printed hint is, or has in it, this text filled in."""
        return re.search(pattern(self.template), printed, re.DOTALL) is not None


def pattern(template: str) -> str:
    """The regular expression for a template."""
    return ".*?".join(map(re.escape, template.split(HOLE)))


@cache
def hints() -> dict[str, Hint]:
    """All hints by their templates."""
    places: dict[str, list[str]] = defaultdict(list)
    for template, place in [*_in_source(), *_in_schemas()]:
        places[template].append(place)
    return {template: Hint(template, tuple(places[template])) for template in sorted(places)}


def _in_schemas() -> Iterator[tuple[str, str]]:
    for path in sorted(SCHEMAS.glob("*.json")):
        for keyword, value in _walk(json.loads(path.read_text("utf-8"))):
            if keyword == "x-number-hint":
                yield value.replace("{0}", HOLE), f"{path.name}: {keyword}"
            elif keyword == "x-hints":
                yield from ((each, f"{path.name}: {keyword}") for each in value.values())


def _walk(schema: Any) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items() if isinstance(schema, dict) else ():
        yield key, value
        yield from _walk(value)
    for value in schema if isinstance(schema, list) else ():
        yield from _walk(value)


def _in_source() -> Iterator[tuple[str, str]]:
    modules = {
        path: ast.parse(path.read_text("utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
        if "templates" not in path.parts and str(path.relative_to(SOURCE)) not in NOT_MESSAGES
    }
    taking = _functions_that_take_hints(modules.values())
    for path, tree in modules.items():
        where = str(path.relative_to(SOURCE))
        for template, line in _Reader(tree, taking).read():
            yield template, f"{where}:{line}"


def _functions_that_take_hints(modules: Iterable[ast.Module]) -> dict[str, int]:
    """For functions and classes with a parameter that is a hint: at which position it is given."""
    found: dict[str, int] = {}
    for tree in modules:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names = [each.arg for each in node.args.args if each.arg not in ("self", "cls")]
                found.update((node.name, at) for at, name in enumerate(names) if _NAMED.search(name))
            elif isinstance(node, ast.ClassDef):
                fields = [
                    each.target.id
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                ]
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                        fields = [each.arg for each in inner.args.args[1:]]
                found.update((node.name, at) for at, name in enumerate(fields) if _NAMED.search(name))
    return found


class _Reader:
    """Reads the hints of one module."""

    def __init__(self, tree: ast.Module, taking: dict[str, int]) -> None:
        self._tree = tree
        self._taking = taking
        self._functions = {
            node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        self._silent = _silent(tree)

    def read(self) -> Iterator[tuple[str, int]]:
        found: dict[int, ast.AST] = {}
        for expression in self._expressions():
            found |= {id(node): node for node in self._texts(expression)}
        for node in ast.walk(self._tree):
            if _is_text(node) and id(node) not in self._silent and _ADVISING.search(template(node)):
                found[id(node)] = node
        whole = [node for node in ast.walk(self._tree) if _is_text(node)] + list(found.values())
        parts = {id(part) for node in whole for part in ast.walk(node) if part is not node}
        for key, node in found.items():
            text = template(node)
            if key not in parts and text.replace(HOLE, "").strip(" .,:;()[]'`") and not _WORD.fullmatch(text):
                yield text, node.lineno  # type: ignore[attr-defined]  # an expression has a place

    def _expressions(self) -> Iterator[ast.expr]:
        """What is given, kept or returned as a hint."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                yield from (each.value for each in node.keywords if each.arg and _NAMED.search(each.arg))
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                at = self._taking.get(name)
                if at is not None and at < len(node.args):
                    yield node.args[at]
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(_NAMED.search(ast.unparse(each)) for each in targets):
                    yield node.value
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _NAMED.search(node.name):
                yield from _returned(node)

    def _texts(  # noqa: C901, PLR0912 - one case for each way to write a text
        self, node: ast.expr, seen: frozenset[str] = frozenset()
    ) -> Iterator[ast.expr]:
        """The texts that an expression may come to, through names and functions of the module."""
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr() | ast.BinOp(op=ast.Add()):
                yield node
            case ast.IfExp():
                yield from self._texts(node.body, seen)
                yield from self._texts(node.orelse, seen)
            case ast.BoolOp():
                for each in node.values:
                    yield from self._texts(each, seen)
            case ast.Tuple() if node.elts:  # a message, perhaps a rule, and what to do
                yield from self._texts(node.elts[-1], seen)
            case ast.List():
                for each in node.elts:
                    yield from self._texts(each, seen)
            case ast.Dict():
                for each in node.values:
                    yield from self._texts(each, seen)
            case ast.DictComp():
                yield from self._texts(node.value, seen)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions and name not in seen:
                for each in _returned(self._functions[name]):
                    yield from self._texts(each, seen | {name})
            case ast.Call(func=ast.Attribute(value=value)):
                yield from self._texts(value, seen)
            case ast.BinOp(op=ast.Mod()):
                words = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
                for each in self._texts(node.left, seen):
                    yield ast.copy_location(ast.Constant(template(each) % tuple(map(template, words))), node)
            case ast.Name(id=name) if name not in seen:
                for each in self._assigned(name):
                    yield from self._texts(each, seen | {name})
            case _:
                pass

    def _assigned(self, name: str) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                    yield node.value


def _returned(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _silent(tree: ast.Module) -> set[int]:
    """Texts that no message shows: docstrings, and what argparse prints as help."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
        elif isinstance(node, ast.Call):
            for each in node.keywords:
                if each.arg in _SILENT_KEYWORDS:
                    found |= {id(part) for part in ast.walk(each.value)}
    return found


def _formatted(text: str) -> str:
    """A text with holes for the names that `str.format` fills in; any other one as it is."""
    if _FIELD.search(text):
        parts = string.Formatter().parse(text)
        return "".join(literal + (HOLE if name is not None else "") for literal, name, _, _ in parts)
    return text


def template(node: ast.AST) -> str:
    """A text with holes where the program fills something in."""
    match node:
        case ast.Constant(value=str() as text):
            return _formatted(text)
        case ast.JoinedStr():
            return "".join(str(each.value) if isinstance(each, ast.Constant) else HOLE for each in node.values)
        case ast.BinOp(op=ast.Add()):
            return template(node.left) + template(node.right)
        case _:
            return HOLE
