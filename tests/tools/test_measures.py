"""The measures of a small tree, counted by hand, and the ways to call the tool."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

TOOL = Path(__file__).parent.parent.parent / "tools" / "measures.py"
FILES = {
    "__init__.py": '"""The package."""\n',
    "a.py": (
        '"""One."""\n\nfrom __future__ import annotations\n\nfrom typing import TYPE_CHECKING\n\n'
        "if TYPE_CHECKING:\n    from small.b import B\n\n\nclass A:\n    '''Doc\n    of two lines.'''\n\n"
        "    def f(self, b: B) -> None:  # why\n        import json\n        print(json, b)\n"
    ),
    "b.py": "from . import a\nfrom .deep import c\n\n\nclass B(a.A):\n    pass\n\n\nx = '''one\ntwo'''\n",
    "deep/__init__.py": "",
    "deep/c.py": "from ..deep import d\n",
    "deep/d.py": "def f():\n    from small.deep.c import nothing\n    return nothing\n",
    "tests/test_a.py": "left out",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / "small"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


@pytest.fixture(scope="module")
def measures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measures", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["measures"] = module
    spec.loader.exec_module(module)
    return module


def test_every_measure_of_a_small_tree(tree: Path, measures: Any) -> None:
    lines = measures.table({"small": measures.modules(tree)}).splitlines()
    assert lines[:2] == ["|  | small |", "| --- | --- |"]
    assert dict(line.strip("| ").split(" | ") for line in lines[2:]) == {
        "source lines": "32",
        "code lines": "18",
        "modules": "6",
        "modules in run-time cycles / with type-only imports": "2 / 4",
        "function median/p90/longest": "3/3/3",
        "classes": "2",
        "imports inside functions": "2",
        "largest class": "7",
        "comments, % of code": "5.6",
        "modules above 400 lines": "0",
    }


def test_cycles_are_named(tree: Path, measures: Any) -> None:
    found = measures.modules(tree)
    assert measures.cycles(found, lambda each: each.imports) == [{"small.deep.c", "small.deep.d"}]
    assert {"small.a", "small.b"} in measures.cycles(found, lambda each: each.all_imports)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", str(TOOL), *arguments], capture_output=True, text=True, check=False)


def test_it_is_called_for_any_checkout_with_the_standard_library_only(tree: Path) -> None:
    done = call(str(tree), f"again={tree}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("|  | small | again |\n")


def test_it_measures_this_project_if_nothing_is_named() -> None:
    assert call().stdout.startswith("|  | v6flow |\n")


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    assert call(str(tmp_path)).stderr == f"{tmp_path} has no Python files\n"
    (tmp_path / "broken.py").write_text("def f(:")
    done = call(str(tmp_path))
    assert done.returncode == 2
    assert "cannot be read: invalid syntax" in done.stderr
