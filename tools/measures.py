"""Measures Python packages: size, import cycles, functions, classes, comments, as a Markdown table.

    python tools/measures.py                               # this project
    python tools/measures.py ../pytask/src/_pytask doit=../doit/doit

Each argument is the folder of a package, with or without a name before it. Files are read as text; none is run.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

HERE = Path(__file__).resolve().parent.parent / "runner" / "v6flow"
LARGEST_MODULE = 400  # lines in all
LEFT_OUT = {"tests", "test", "testdata", "templates", "examples", "_vendor", "vendor", "__pycache__"}
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    tokenize.ENCODING,
}  # fmt: skip

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Module:
    """One source file, read once."""

    lines: int
    code: int
    comments: int
    functions: tuple[int, ...]
    classes: tuple[int, ...]
    lazy: int
    """The number of imports inside functions."""
    imports: frozenset[str] = field(repr=False)
    """The run-time imports, at the top or inside functions."""
    all_imports: frozenset[str] = field(repr=False)
    """The run-time and type-only imports."""


def read(path: Path, name: str) -> Module:
    """The measures of a file. Raises SyntaxError, UnicodeDecodeError."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    code = {line for each in tokens if each.type not in NO_CODE for line in range(each.start[0], each.end[0] + 1)}
    docstrings = [each for node in ast.walk(tree) if isinstance(node, _DOCUMENTED) for each in node.body[:1]]
    for node in docstrings:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    package = path.name == "__init__.py"
    return Module(
        lines=len(source.splitlines()),
        code=len(code),
        comments=sum(each.type == tokenize.COMMENT for each in tokens),
        functions=tuple(map(_length, functions)),
        classes=tuple(_length(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)),
        lazy=len({id(node) for each in functions for node in ast.walk(each) if _is_import(node)}),
        imports=frozenset(_imported(tree, name, package, typing=False)),
        all_imports=frozenset(_imported(tree, name, package, typing=True)),
    )


def _length(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _imported(tree: ast.AST, name: str, package: bool, *, typing: bool) -> Iterator[str]:
    """The full names of the imports: modules, and names in modules."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            above = parts[: len(parts) - node.level + package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not typing:
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def modules(package: Path) -> dict[str, Module]:
    """The modules of a package by name, without tests, templates and vendored code."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if LEFT_OUT.isdisjoint(relative.parts):
            name = ".".join((package.name, *relative.with_suffix("").parts)).removesuffix(".__init__")
            found[name] = read(path, name)
    return found


def cycles(found: dict[str, Module], imports: Callable[[Module], frozenset[str]]) -> list[frozenset[str]]:
    """The sets of modules with an import cycle."""
    edges = {name: sorted(_targets(found, imports(module)) - {name}) for name, module in found.items()}
    return [each for each in _components(edges) if len(each) > 1]


def _targets(found: dict[str, Module], names: Iterable[str]) -> set[str]:
    """The modules of imported names: the module itself, or the one that defines the name."""
    return {each for name in names if (each := name if name in found else name.rpartition(".")[0]) in found}


def _components(edges: dict[str, list[str]]) -> Iterator[frozenset[str]]:
    """The strongly connected components, by Tarjan's algorithm (1972) without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for start, direct in edges.items():
        work = [] if start in index else [(start, iter(direct))]
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
                on_stack.add(name)
            following = next(rest, None)
            if following is not None:
                if following not in index:
                    work.append((following, iter(edges[following])))
                elif following in on_stack:
                    low[name] = min(low[name], index[following])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[name])
            if low[name] == index[name]:
                position = stack.index(name)
                component = frozenset(stack[position:])
                del stack[position:]
                on_stack -= component
                yield component


def table(packages: dict[str, dict[str, Module]]) -> str:
    """The measures, one column for each package."""
    rows = {name: [measure([*found.values()], found) for found in packages.values()] for name, measure in ROWS.items()}
    lines = [["", *packages], ["---"] * (len(packages) + 1), *([name, *cells] for name, cells in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _knots(_: Sequence[Module], found: dict[str, Module]) -> str:
    runtime, typed = (cycles(found, kind) for kind in (lambda each: each.imports, lambda each: each.all_imports))
    return f"{sum(map(len, runtime))} / {sum(map(len, typed))}"


def _functions(each: Sequence[Module], _: dict[str, Module]) -> str:
    lengths = sorted(length for module in each for length in module.functions)
    if not lengths:
        return "0/0/0"
    return f"{statistics.median_low(lengths)}/{lengths[int(0.9 * (len(lengths) - 1))]}/{lengths[-1]}"


ROWS: dict[str, Callable[[Sequence[Module], dict[str, Module]], str]] = {
    "source lines": lambda each, _: f"{sum(module.lines for module in each):,}",
    "code lines": lambda each, _: f"{sum(module.code for module in each):,}",
    "modules": lambda each, _: f"{len(each)}",
    "modules in run-time cycles / with type-only imports": _knots,
    "function median/p90/longest": _functions,
    "classes": lambda each, _: f"{sum(len(module.classes) for module in each)}",
    "imports inside functions": lambda each, _: f"{sum(module.lazy for module in each)}",
    "largest class": lambda each, _: f"{max((length for module in each for length in module.classes), default=0):,}",
    "comments, % of code": lambda each, _: (
        f"{100 * sum(module.comments for module in each) / max(1, sum(module.code for module in each)):.1f}"
    ),
    f"modules above {LARGEST_MODULE} lines": lambda each, _: f"{sum(module.lines > LARGEST_MODULE for module in each)}",
}
"""Each measure by its name: of all modules, and of the same by their names. Lines are in all unless they are of code,
which docstrings, comments and blank lines are not."""


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns 2 if a package cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", metavar="[NAME=]FOLDER", help="the folder of a package")
    packages = {}
    for word in parser.parse_args(arguments).packages or [str(HERE)]:
        name, equals, folder = word.rpartition("=")
        path = Path(folder).resolve()
        try:
            packages[name if equals else path.name] = found = modules(path)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            print(f"{folder} cannot be read: {error}", file=sys.stderr)
            return 2
        if not found:
            print(f"{folder} has no Python files", file=sys.stderr)
            return 2
    print(table(packages), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
