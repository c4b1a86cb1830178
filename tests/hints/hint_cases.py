"""The kinds of cases with which hints are tried: each provokes a hint, follows it to the letter, and looks again."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from v6flow import loading
from v6flow.cli.main import main
from v6flow.core import expressions
from v6flow.core.checks import lint, soundness
from v6flow.core.directory import Directory
from v6flow.core.language import schema
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning.planner import make
from v6flow.errors import UsageError
from v6flow.local import sources
from v6flow.testing import judging, trial
from v6flow.testing import suites as testing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ORGANIZATIONS = ("alpha", "beta")
PARAMS: dict[str, Any] = {
    "one": 1, "two": 2, "text": "age", "list": [3, 1, 2], "yes": True, "map": {"k": 5, "x y": 7},
    "rows": [{"n": 1, "g": "a"}, {"n": 5, "g": "b"}], "null": None,
    "inf": float("inf"),
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """An expression at fault, and how it looks with the hint followed; `{0}` is what the pattern `shown` finds."""

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
            (folder / name).parent.mkdir(exist_ok=True)
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
    "ran": "w.yaml",
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
    return [str(each) for each in [*loading.check_functions(workflow, path.parent), *soundness.warnings(workflow)]]


def _ran(path: Path) -> list[str]:
    """A workflow is checked and, if nothing is wrong with it, run."""
    found = _workflow(path)
    if found:
        return found
    code, said = _call(f"v6flow run {path.name}", path.parent)
    return [said] if code else []


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
    "ran": _ran,
    "plan": _plan,
    "lint": _lint,
    "federation": _federation,
    "test": _test,
    "params": _params,
    "sets": _sets,
    "function": _function,
    "files": _files,
}


@dataclass(frozen=True)
class Trial:
    """A workflow at fault only when it runs, with answers of a test; see File for how it is mended."""

    text: str
    old: str
    shown: str
    new: str = "{0}"
    answers: str = "{}"
    decisions: str = "{}"
    files: Mapping[str, str] = field(default_factory=dict)

    def printed(self, folder: Path) -> str:
        """What is said of the failure."""
        return self._run(self.text, folder)

    def follow(self, printed: str, folder: Path) -> None:
        """Follow it, and run it again."""
        found = re.search(self.shown, printed)
        assert found, f"{self.shown} shows nothing in {printed}"
        new = self.new
        for number, group in enumerate(found.groups()):
            new = new.replace("{" + str(number) + "}", group)
        assert self.old in self.text
        assert self._run(self.text.replace(self.old, new, 1), folder) == ""

    def _run(self, text: str, folder: Path) -> str:
        test = (
            "v6flow_test: 1\nworkflow: w.yaml\norganizations: [alpha, beta]\n"
            f"answers: {self.answers}\ndecisions: {self.decisions}\ncases: {{c: {{expect: {{status: completed}}}}}}\n"
        )
        for name, body in {**self.files, "w.yaml": text, "w.test.yaml": test}.items():
            (folder / name).write_text(body, "utf-8")
        (suite,) = testing.read_all([str(folder / "w.test.yaml")])
        outcome = trial.run(suite, suite.cases[0])
        if outcome.status == "completed":
            return ""
        complaints = judging.judge(suite.cases[0], outcome)
        told = "\n".join(map(str, complaints))
        return f"{told}\n{(outcome.error or {}).get('hint')}"


@dataclass(frozen=True)
class Line:
    """A command line at fault, and the one that is printed: the words in `given` stand for what a person fills in.

    `shown` finds the printed line; `code` is how it ends, and `again` how the first line ends after it, if it is tried.
    """

    line: str
    shown: str
    code: int = 0
    given: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    again: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def printed(self, folder: Path) -> str:
        """What the command line says."""
        for name, body in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, "utf-8")
        for line in self.before:
            _call(line, folder)
        return _call(self.line, folder)[1]

    def follow(self, printed: str, folder: Path) -> None:
        """Type what it shows."""
        found = re.search(self.shown, printed)
        assert found, f"{self.shown} shows nothing in {printed}"
        line = found[1]
        for word, meant in self.given.items():
            assert word in line, line
            line = line.replace(word, meant)
        code, said = _call(line, folder)
        assert code == self.code, f"{line}: {said}"
        if self.again is not None:
            assert _call(self.line, folder)[0] == self.again


def _call(line: str, folder: Path) -> tuple[int, str]:
    """A line as a shell takes it, in a folder; of v6flow within this process."""
    words = shlex.split(line.replace("{run}", _newest(folder)) if "{run}" in line else line)
    out, err = io.StringIO(), io.StringIO()
    if words[0] != "v6flow":
        done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, encoding="utf-8", check=False)
        return done.returncode, done.stdout + done.stderr
    with _moved(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words[1:])
    return code, err.getvalue() + out.getvalue()


@contextlib.contextmanager
def _moved(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _newest(folder: Path) -> str:
    """The id of the last run below a folder."""
    return max(path.name for path in folder.glob("**/runs/*"))


Case: TypeAlias = "Expression | File | Trial | Line"
