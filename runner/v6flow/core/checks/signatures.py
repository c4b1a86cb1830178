"""Which parameters a Python function takes, read from its source text alone; it is never run."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from v6flow.core.language.words import nearest
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Kind: TypeAlias = Literal["function", "async function", "generator", "async generator"]


class Signature(Struct, frozen=True):
    """The parameters of a function, those with a default under `optional`; `any_keyword` is `**kwargs`."""

    name: str
    kind: Kind = "function"
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    positional_only: tuple[str, ...] = ()
    positional_only_required: tuple[str, ...] = ()
    any_keyword: bool = False


class UnknownSignature(Struct, frozen=True):
    """The name is there, or may be, but what it takes only shows when the code runs."""


_CAPTURES = (ast.MatchAs, ast.MatchStar, ast.ExceptHandler)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MADE_AT_RUN_TIME = pattern(r"\b(?:globals|locals|vars|exec|eval|setattr|__getattr__)\b")


def find(source: str, name: str) -> Signature | UnknownSignature | None:
    """What `name` takes once a module of this source has been imported; None if nothing defines it.

    Only a plain `def` at the module's top is read, and only if nothing behind it binds the name again. All else is
    unknown: decorators, classes, assignments, imports, definitions under conditions. Raises SyntaxError.
    """
    try:
        tree = parse(source)
        found: Signature | UnknownSignature | None = None
        for node in tree.body:
            if isinstance(node, _DEFINITIONS):
                found = _definition(node) if node.name == name else found
            elif any(_binds(each, name) for each in ast.walk(node)):
                found = UnknownSignature()
    except (RecursionError, MemoryError):  # what the parser's stack, or ours, does not hold, Python's may
        return UnknownSignature()
    if re.search(rf"^\s*global\b[^#\n]*\b{re.escape(name)}\b", source, re.MULTILINE):
        return UnknownSignature()
    return UnknownSignature() if found is None and _MADE_AT_RUN_TIME.search(source) else found


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node may give the name another value."""
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0]) in (name, "*")
    if isinstance(node, ast.MatchMapping):
        return node.rest == name
    return isinstance(node, (*_DEFINITIONS, *_CAPTURES)) and node.name == name


def functions(source: str) -> tuple[str, ...]:
    """The public functions that a module of this source defines at its top, in order. Raises SyntaxError."""
    definitions = (node for node in parse(source).body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return tuple(dict.fromkeys(node.name for node in definitions if not node.name.startswith("_")))


def problems(signature: Signature, kwargs: Collection[str]) -> list[str]:
    """Why calling a function with these keyword arguments cannot work; nothing if it can."""
    name = signature.name
    if signature.kind == "generator":
        return [f"{name} is a generator: it yields, where a local step's function must return"]
    if signature.kind != "function":
        return [f"{name} is an {signature.kind}, and a local step's function is called without waiting"]
    found = [
        f"{name} takes {each} by position only, which a workflow cannot give"
        for each in signature.positional_only_required
    ]
    found += [f"{name} needs the argument {each}" for each in signature.required if each not in kwargs]
    if not signature.any_keyword:
        known = (*signature.required, *signature.optional)
        found += [_unexpected(signature, each, known, kwargs) for each in kwargs if each not in known]
    return found


def _unexpected(signature: Signature, word: str, known: Sequence[str], kwargs: Collection[str]) -> str:
    if word in signature.positional_only:
        return f"{signature.name} takes {word} by position only, which a workflow cannot give"
    near = nearest(word, [each for each in known if each not in kwargs])
    if near:
        return f"{signature.name} takes no argument {word}: did you mean {near}?"
    return f"{signature.name} takes no argument {word}; it takes {', '.join(known) or 'none'}"


def parse(source: str) -> ast.Module:
    """The syntax tree of a source text. Raises SyntaxError, RecursionError, MemoryError."""
    try:
        return ast.parse(source)
    except ValueError as error:  # a NUL, or half a surrogate pair
        raise SyntaxError(str(error)) from error


def _definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Signature | UnknownSignature:
    if isinstance(node, ast.ClassDef) or node.decorator_list:
        return UnknownSignature()
    arguments = node.args
    by_position = [*arguments.posonlyargs, *arguments.args]
    without_default = by_position[: len(by_position) - len(arguments.defaults)]
    keyword_only = list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    required = [each for each in arguments.args if each in without_default]
    required += [each for each, default in keyword_only if default is None]
    optional = [each for each in arguments.args if each not in without_default]
    optional += [each for each, default in keyword_only if default is not None]
    return Signature(
        name=node.name,
        kind=_kind(node),
        required=_names(required),
        optional=_names(optional),
        positional_only=_names(arguments.posonlyargs),
        positional_only_required=_names(each for each in arguments.posonlyargs if each in without_default),
        any_keyword=arguments.kwarg is not None,
    )


def _names(arguments: Iterable[ast.arg]) -> tuple[str, ...]:
    return tuple(argument.arg for argument in arguments)


def _kind(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Kind:
    yields = _yields(node.body)
    if isinstance(node, ast.AsyncFunctionDef):
        return "async generator" if yields else "async function"
    return "generator" if yields else "function"


def _yields(nodes: Iterable[ast.AST]) -> bool:
    """Whether there is a yield in nodes, but for what runs in a scope of its own."""
    return any(
        isinstance(node, (ast.Yield, ast.YieldFrom))
        or (not isinstance(node, (*_DEFINITIONS, ast.Lambda)) and _yields(ast.iter_child_nodes(node)))
        for node in nodes
    )
