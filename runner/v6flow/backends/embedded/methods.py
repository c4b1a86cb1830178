"""Reads in the source of an algorithm whether a function is a central one; it is never run."""

from __future__ import annotations

import ast
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec

    from v6flow.backends.embedded.configuration import Algorithm

Nature: TypeAlias = Literal["dispatches", "client", "plain"]
"""It creates tasks; it is given a client, with which it could; or neither."""

LARGEST = 2 * 1024 * 1024  # bytes of a file that is read
DEEPEST = 20  # calls, or imports, that are followed

_Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"


def nature(algorithm: Algorithm, method: str) -> Nature | None:
    """What a method is by its source; None where that is not known."""
    if algorithm.path is None and algorithm.python is not None:
        return None  # the package is in another interpreter
    try:
        package = algorithm.package
        top = package.partition(".")[0]
        spec = PathFinder.find_spec(top, [algorithm.path]) if algorithm.path is not None else find_spec(top)
        return None if spec is None else _Package(top, spec).nature(package, method)
    except (ImportError, OSError, ValueError, SyntaxError, RecursionError):
        return None


class _Package:
    """The modules of a package, each parsed once."""

    def __init__(self, name: str, spec: ModuleSpec) -> None:
        self._name = name
        self._spec = spec
        self._known: dict[str, ast.Module | None] = {}

    def nature(self, module: str, method: str) -> Nature | None:
        found = self._find(module, method, DEEPEST)
        if found is None:
            return None
        where, function = found
        if not any(self._is_client(where, decorator) for decorator in function.decorator_list):
            return "plain"
        return "dispatches" if self._dispatches(where, function, DEEPEST) else "client"

    def _find(self, module: str, name: str, deepest: int) -> tuple[str, _Function] | None:
        """The module and the definition of a function that a module has, its own or imported from the package."""
        tree = self._parsed(module)
        if tree is None or not deepest:
            return None
        stars = []
        for node in reversed(tree.body):  # what is bound last counts
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom):
                source = self._source(module, node)
                for alias in node.names if source is not None else ():
                    assert source is not None
                    if (alias.asname or alias.name) == name:
                        return self._find(source, alias.name, deepest - 1)
                    if alias.name == "*":
                        stars.append(source)
        found = (self._find(source, name, deepest - 1) for source in stars)
        return next((each for each in found if each is not None), None)

    def _source(self, module: str, node: ast.ImportFrom) -> str | None:
        """The module of the package that something is imported from; None for another package."""
        if not node.level:
            top = (node.module or "").partition(".")[0]
            return node.module if top == self._name else None
        parts = module.split(".")
        if self._file(module).name != "__init__.py":
            parts = parts[:-1]
        parts = parts[: len(parts) - (node.level - 1)]
        return ".".join([*parts, *([node.module] if node.module else [])]) or None

    def _is_client(self, module: str, decorator: ast.expr) -> bool:
        """Whether a decorator is vantage6's `algorithm_client`, under whatever name it was imported."""
        if isinstance(decorator, ast.Call):
            decorator = decorator.func
        if isinstance(decorator, ast.Attribute):
            return decorator.attr == "algorithm_client"
        if not isinstance(decorator, ast.Name):
            return False
        names = {"algorithm_client"}
        tree = self._parsed(module)
        for node in tree.body if tree is not None else ():
            if isinstance(node, ast.ImportFrom):
                names |= {alias.asname for alias in node.names if alias.name == "algorithm_client" and alias.asname}
        return decorator.id in names

    def _dispatches(self, module: str, function: _Function, deepest: int) -> bool:
        """Whether a function, or one of the package that it calls, creates tasks by a client."""
        called: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                if _creates_task(node.func):
                    return True
                if isinstance(node.func, ast.Name):
                    called.add(node.func.id)
        if not deepest:
            return False
        for name in called - {function.name}:
            found = self._find(module, name, DEEPEST)
            if found is not None and found[1] is not function and self._dispatches(*found, deepest - 1):
                return True
        return False

    def _parsed(self, module: str) -> ast.Module | None:
        if module not in self._known:
            self._known[module] = None
            path = self._file(module)
            if path.is_file() and path.stat().st_size <= LARGEST:
                self._known[module] = ast.parse(path.read_bytes())
        return self._known[module]

    def _file(self, module: str) -> Path:
        """The file of a module of the package, which need not exist."""
        folders = list(self._spec.submodule_search_locations or ())
        if not folders:
            return Path(self._spec.origin or "")
        path = Path(folders[0]).joinpath(*module.split(".")[1:])
        return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def _creates_task(function: ast.expr) -> bool:
    """Whether what is called is `….task.create` or, as before version 4, `….create_new_task`."""
    names = list(_names(function))
    return names[:1] == ["create_new_task"] or names[:2] == ["create", "task"]


def _names(function: ast.expr) -> Iterator[str]:
    while isinstance(function, ast.Attribute):
        yield function.attr
        function = function.value
