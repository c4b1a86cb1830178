"""The kinds of cases with which hints are tried: each provokes a hint, follows it to the letter, and looks again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow import loading
from v6flow.core import check, expressions, lint, schema
from v6flow.core.federation import Directory
from v6flow.core.plan import make
from v6flow.core.problem import InvalidError
from v6flow.errors import UsageError
from v6flow.local import sources
from v6flow.testing import files as testing

if TYPE_CHECKING:
    from collections.abc import Mapping

ORGANIZATIONS = ("alpha", "beta")
PARAMS: dict[str, Any] = {
    "one": 1, "two": 2, "text": "age", "list": [3, 1, 2], "yes": True, "map": {"k": 5, "x y": 7},
    "rows": [{"n": 1, "g": "a"}, {"n": 5, "g": "b"}], "null": None,
    "inf": float("inf"),
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """An expression at fault, and how it looks with the hint followed: `{0}` is what the pattern `shown` finds in it."""

    before: str
    after: str
    value: Any
    shown: str = ""

    def printed(self, _folder: Path) -> str:
        """What is printed for the expression at fault."""
        found = _evaluate(self.before)
        assert isinstance(found, expressions.ExpressionError), f"{self.before} came to {found!r}"
        return f"{found.message} ({found.hint})"

    def follow(self, printed: str, _folder: Path) -> None:
        """Follow it, and look what the expression comes to."""
        after = self.after
        if self.shown:
            found = re.search(self.shown, printed)
            assert found, f"{self.shown} shows nothing in {printed}"
            for number, group in enumerate(found.groups()):
                after = after.replace("{" + str(number) + "}", group)
        assert _evaluate(after) == self.value, after


def _evaluate(text: str) -> Any:
    template = expressions.compile(text)
    try:
        return template.render({"params": PARAMS, "#organization_ids": {"alpha": 4, "beta": 7}})
    except expressions.ExpressionError as error:
        return error


@dataclass(frozen=True)
class File:
    """A file at fault; `new` replaces `old` in it, with `{0}` … for what the pattern `shown` finds in what is printed.

    Without `old`, `shown` is written in place of what stands there: the word that the message names.
    """

    text: str
    old: str
    shown: str
    new: str = "{0}"
    kind: str = "workflow"
    then: str | None = None
    """What is wrong with the file afterwards, where that is another thing."""
    files: Mapping[str, str] = field(default_factory=dict)

    def printed(self, folder: Path) -> str:
        """What is printed for the file at fault."""
        return "\n".join(self._problems(self.text, folder))

    def follow(self, printed: str, folder: Path) -> None:
        """Follow it, and check the file again."""
        found = re.search(self.shown, printed)
        assert found, f"{self.shown} shows nothing in {printed}"
        new = self.new
        for number, group in enumerate(found.groups()):
            new = new.replace("{" + str(number) + "}", group)
        assert self.old in self.text
        text = self.text.replace(self.old, new, 1)
        left = self._problems(text, folder)
        if self.then is None:
            assert left == [], text
        else:
            assert left, text
            assert self.then in left[0], text
            assert left[0] not in printed.splitlines(), text

    def _problems(self, text: str, folder: Path) -> list[str]:
        for name, body in {**self.files, _NAMES[self.kind]: text}.items():
            (folder / name).write_text(body, "utf-8")
        path = folder / _NAMES[self.kind]
        try:
            return _CHECKS[self.kind](path)
        except InvalidError as error:
            return [str(each) for each in error.problems]
        except UsageError as error:
            return [f"{error.message} ({error.hint})"]


_NAMES = {
    "workflow": "w.yaml",
    "plan": "w.yaml",
    "lint": "w.yaml",
    "federation": "f.yaml",
    "test": "w.test.yaml",
    "params": "p.yaml",
    "sets": "s.yaml",
    "function": "function.txt",
    "files": "files.txt",
}


def _workflow(path: Path) -> list[str]:
    workflow = loading.read_workflow(path)
    return [str(each) for each in [*loading.check_functions(workflow, path.parent), *check.warnings(workflow)]]


def _plan(path: Path) -> list[str]:
    make(loading.read_workflow(path), {}, Directory(ORGANIZATIONS), folder=str(path.parent))
    return []


def _lint(path: Path) -> list[str]:
    return [str(each) for each in lint.lint(loading.read_workflow(path))]


def _federation(path: Path) -> list[str]:
    document = loading.read_document(path, kind="federation")
    found = schema.problems(document, loading.read_schema("federation"))
    return [str(each) for each in found or loading.check_federation(path)]


def _test(path: Path) -> list[str]:
    testing.read_all([str(path)])
    return []


def _sets(path: Path) -> list[str]:
    loading.read_param_sets(path)
    return []


def _params(path: Path) -> list[str]:
    loading.read_params(path)
    return []


def _function(path: Path) -> list[str]:
    """A function as a local step names it."""
    sources.locate(path.read_text("utf-8"), path.parent)
    return []


def _files(path: Path) -> list[str]:
    """A pattern that says on which files a local step depends."""
    sources.matches([path.read_text("utf-8")], path.parent)
    return []


_CHECKS = {
    "workflow": _workflow,
    "plan": _plan,
    "lint": _lint,
    "federation": _federation,
    "test": _test,
    "params": _params,
    "sets": _sets,
    "function": _function,
    "files": _files,
}

Case = Expression | File
