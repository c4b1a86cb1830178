"""Which parameters a Python function takes, told from its source text alone; nothing of it runs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from v6flow.core.language.words import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Kind: TypeAlias = Literal["function", "async function", "generator", "async generator"]


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function, those with a default under `optional`; `any_keyword` is `**kwargs`."""

    name: str
    kind: Kind = "function"
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    positional_only: tuple[str, ...] = ()
    positional_only_required: tuple[str, ...] = ()
    any_keyword: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The name is there, or may be, but what it takes only shows when the code runs; `reason` says why."""

    reason: str


_Outcome: TypeAlias = "Signature | Unknown | None"  # what a name stands for; None: for nothing
_Outcomes: TypeAlias = "frozenset[_Outcome]"  # what it may stand for; empty: this point is never reached

_NAMES_AT_RUN_TIME = {"globals", "locals", "vars", "exec", "eval", "setattr", "__getattr__"}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_CAPTURES = (ast.MatchAs, ast.MatchStar)
_DYNAMIC = Unknown("the module makes names while it runs")


def find(source: str, name: str) -> Signature | Unknown | None:
    """What `name` takes once a module of this source has been imported; None if nothing defines it.

    Definitions under conditions that do not all agree are Unknown; so are imports, assignments, classes, and
    functions under decorators. What stands under `if TYPE_CHECKING` and `if __name__ == "__main__"` does not
    count. Raises SyntaxError.
    """
    try:
        tree = parse(source)
        outcomes = _run(tree.body, name, frozenset([None]))
    except (RecursionError, MemoryError):  # what the parser's stack, or ours, does not hold, Python's may
        return Unknown("the module is nested too deep")
    if _is_rebound(tree, name):
        return Unknown(f"{name} is assigned from within a function")
    if len(outcomes) == 1:
        (outcome,) = outcomes
        return _DYNAMIC if outcome is None and _is_dynamic(tree) else outcome
    unknown = sorted(outcome.reason for outcome in outcomes if isinstance(outcome, Unknown))
    return Unknown(unknown[0] if unknown else f"{name} is defined under conditions")


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


# ------------------------------------------------------------- what a name stands for, statement by statement


def _run(body: Sequence[ast.stmt], name: str, before: _Outcomes) -> _Outcomes:
    for statement in body:
        before = _step(statement, name, before)
    return before


def _step(node: ast.stmt, name: str, before: _Outcomes) -> _Outcomes:
    """What `name` may stand for after a statement."""
    if isinstance(node, ast.Raise):
        return frozenset()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset([_definition(node)]) if node.name == name and before else before
    if isinstance(node, ast.If):
        if _is_never(node.test):
            return _run(node.orelse, name, before)
        before = _bound(node.test, name, before)
        return _run(node.body, name, before) | _run(node.orelse, name, before)
    if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        head = node.test if isinstance(node, ast.While) else node.target
        entered = _run(node.body, name, _bound(head, name, before))
        return _run(node.orelse, name, before | entered) | entered
    if isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            before = _bound(item, name, before)
        return _any_prefix(node.body, name, before)  # contextlib.suppress may end it anywhere
    if isinstance(node, ast.Match):
        before = _bound(node.subject, name, before)
        cases = (_run(case.body, name, _bound(case.pattern, name, before)) for case in node.cases)
        return before.union(*cases)
    if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":  # which Python 3.10 has not
        return _try(cast("ast.Try", node), name, before)
    return _bound(node, name, before)


def _try(node: ast.Try, name: str, before: _Outcomes) -> _Outcomes:
    interrupted = _any_prefix(node.body, name, before)
    after = _run(node.orelse, name, _run(node.body, name, before))
    for handler in node.handlers:
        start = interrupted
        if handler.name == name:
            start = frozenset([Unknown(f"{name} is the name of an exception")])
        after |= _run(handler.body, name, start)
    return _run(node.finalbody, name, after)


def _any_prefix(body: Sequence[ast.stmt], name: str, before: _Outcomes) -> _Outcomes:
    """What `name` may stand for if the statements may stop after any of them."""
    reached = before
    for statement in body:
        before = _step(statement, name, before)
        reached |= before
    return reached


def _bound(node: ast.AST, name: str, before: _Outcomes) -> _Outcomes:
    """What `name` may stand for after what assigns, imports or deletes it anywhere in a node."""
    if not before:
        return before
    for each in _here(node):
        if isinstance(each, ast.Name) and each.id == name and not isinstance(each.ctx, ast.Load):
            return frozenset([Unknown(f"{name} is assigned, not defined by def")])
        if name in (getattr(each, "rest", None), each.name if isinstance(each, _CAPTURES) else None):
            return frozenset([Unknown(f"{name} is assigned, not defined by def")])
        if isinstance(each, ast.alias):
            if (each.asname or each.name.partition(".")[0]) == name:
                return frozenset([Unknown(f"{name} is imported from elsewhere")])
            if each.name == "*":
                return before | {Unknown(f"{name} may come from an import of *")}
    return before


def _here(node: ast.AST) -> Iterable[ast.AST]:
    """A node and what is in it, but for what runs in a scope of its own."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += [child for child in ast.iter_child_nodes(each) if not isinstance(child, _SCOPES)]


def _is_never(test: ast.expr) -> bool:
    """Whether a condition is false in every import: TYPE_CHECKING, or __name__ == "__main__"."""
    if isinstance(test, ast.Compare):
        words = [ast.unparse(side) for side in (test.left, *test.comparators)]
        return isinstance(test.ops[0], ast.Eq) and sorted(words) == ["'__main__'", "__name__"]
    return isinstance(test, (ast.Name, ast.Attribute)) and ast.unparse(test).endswith("TYPE_CHECKING")


def _is_rebound(tree: ast.Module, name: str) -> bool:
    return any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(tree))


def _is_dynamic(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in _NAMES_AT_RUN_TIME)
        or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
        for node in ast.walk(tree)
    )


# ------------------------------------------------------------------------------------------------ definitions


def _definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Signature | Unknown:
    if isinstance(node, ast.ClassDef):
        return Unknown(f"{node.name} is a class")
    if node.decorator_list:
        return Unknown(f"{node.name} has a decorator, which may change what it takes")
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
    yields = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for part in node.body for each in _here_of(part))
    if isinstance(node, ast.AsyncFunctionDef):
        return "async generator" if yields else "async function"
    return "generator" if yields else "function"


def _here_of(part: ast.stmt) -> Iterable[ast.AST]:
    return () if isinstance(part, _SCOPES) else _here(part)
