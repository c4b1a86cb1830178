"""Test files: reading, and checks against the workflow under test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow import loading, paths
from v6flow.backends.fixtures import DEFAULT, Answers, FixtureAddress, addresses
from v6flow.core import json, policy
from v6flow.core.checks import soundness
from v6flow.core.directory import Directory
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language import units
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.language.words import suggestion
from v6flow.core.planning import dependencies
from v6flow.errors import UsageError
from v6flow.testing import matching
from v6flow.testing.people import Decisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from v6flow.core.json import Json
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Step, Workflow
    from v6flow.core.language.problem import Path as Place


class Said(Struct, frozen=True):
    """A step name in a case, or in the file for all cases."""

    section: str  # answers, decisions, steps or sent
    address: FixtureAddress
    line: int
    shared: bool = False  # given in the file, for all cases

    def __str__(self) -> str:
        return f"{self.section}.{self.address.text} (line {self.line})"


class Case(Struct, frozen=True):
    """One run of a workflow, and its expected outcome."""

    name: str
    line: int  # its line in the file
    params: Mapping[str, Json]
    answers: Answers
    decisions: Decisions
    deadline: float | None  # in seconds
    expect: Mapping[str, Any]
    said: tuple[Said, ...]


class Suite(Struct, frozen=True):
    """A test file: a workflow, its organizations, and its cases."""

    file: str
    workflow: Workflow
    folder: Path  # that of the workflow
    directory: Directory
    cases: tuple[Case, ...]


def read(path: str | os.PathLike[str]) -> Suite:
    """The tests in a file. Raises UsageError, InvalidError with all problems of the file or its workflow."""
    found = loading.read_document(path, kind="test")
    raw = found.value
    file = os.path.normpath(Path(path).parent / raw["workflow"])
    try:
        workflow = loading.read_workflow(file)
    except InvalidError:
        raise
    except UsageError as error:
        problem = Problem(error.message, "workflow", found.name, found.position(("workflow",)), error.hint)
        raise InvalidError([problem], what=found.name) from error
    problems = list(_Check(found, workflow).problems())
    if problems:
        raise InvalidError(sorted(problems, key=lambda problem: problem.position), what=found.name)
    names = tuple(raw.get("organizations", ()))
    studies = {name: tuple(members) for name, members in raw.get("studies", {}).items()}
    directory = directory_of(names, studies, raw.get("defaults", {}), raw.get("policy", {}))
    cases = tuple(_case(name, each, found) for name, each in raw["cases"].items())
    return Suite(found.name, workflow, Path(file).absolute().parent, directory, cases)


def read_all(paths: Iterable[str]) -> list[Suite]:
    """The tests in some files. Raises UsageError, InvalidError with the problems of all files."""
    problems: list[Problem] = []
    suites = [suite for path in paths if (suite := _read_noting(path, problems)) is not None]
    if problems:
        raise InvalidError(list(dict.fromkeys(problems)), what="the test files")
    return suites


def _read_noting(path: str, problems: list[Problem]) -> Suite | None:
    try:
        return read(path)
    except InvalidError as error:
        problems += error.problems
    return None


def directory_of(
    organizations: tuple[str, ...],
    studies: Mapping[str, tuple[str, ...]],
    defaults: Mapping[str, Json],
    limits: Mapping[str, Json],
) -> Directory:
    """The directory of a test: organizations and studies have ids from 1, in their order."""
    return Directory(
        organizations,
        ids={name: number for number, name in enumerate(organizations, start=1)},
        identity="test",
        defaults=defaults,
        policy=policy.parse(limits),
        studies=dict([*studies.items(), *enumerate(studies.values(), start=1)]),
    )


def _case(name: str, raw: Mapping[str, Any], document: Document) -> Case:
    shared = document.value
    return Case(
        name,
        document.key_position(("cases", name)).line,
        params={**shared.get("params", {}), **raw.get("params", {})},
        answers=Answers(raw.get("answers", {}), shared.get("answers", {})),
        decisions=Decisions(raw.get("decisions", {}), shared.get("decisions", {})),
        deadline=units.seconds(raw["deadline"]) if "deadline" in raw else None,
        expect=raw.get("expect", {}),
        said=(*_said(document, ("cases", name), raw), *_said(document, (), shared)),
    )


def _said(document: Document, at: Place, raw: Mapping[str, Any]) -> Iterator[Said]:
    """The step names in a case; or in its file, which has no expectations."""
    for key in (("answers",), ("decisions",), ("expect", "steps"), ("expect", "sent")):
        found: Any = raw
        for part in key:
            found = found.get(part, {})
        for name in found:
            line = document.key_position((*at, *key, name)).line
            yield Said(key[-1], addresses.parse(name), line, shared=not at)


class _Check:
    """Checks beyond the schema: unknown names, and invalid matchers."""

    def __init__(self, document: Document, workflow: Workflow) -> None:
        self._document = document
        self._workflow = workflow
        self._organizations: list[str] = document.value.get("organizations", [])
        self._steps = dict(_steps(workflow))
        self._tasks = [name for name, step in self._steps.items() if step.asks]
        self._gates = [name for name, step in self._steps.items() if _approvers(step) is not None]

    def problems(self) -> Iterator[Problem]:
        raw = self._document.value
        if not self._organizations and dependencies.needs_federation(self._workflow):
            hint = "write organizations: [alpha, beta]"
            yield self._problem((), "this workflow asks organizations, and the test names none", "missing-key", hint)
        if DEFAULT in self._organizations:
            at = ("organizations", self._organizations.index(DEFAULT))
            message = (
                f"an organization of a test cannot be named {DEFAULT}, which means all organizations that are not named"
            )
            yield self._problem(at, message, "name")
        for key, value in raw.get("defaults", {}).items():
            if "{{" in json.dumps(value):
                message = "a federation's defaults are literal: expressions are not evaluated here"
                yield self._problem(("defaults", key), message, "literal-only", "write the expression in the workflow")
        yield from soundness.count_problems(self._document)
        for study, members in raw.get("studies", {}).items():
            yield from self._named(("studies", study), enumerate(members), self._organizations, "organization")
        yield from self._answers(("answers",), raw.get("answers", {}))
        yield from self._decisions(("decisions",), raw.get("decisions", {}))
        for name, case in raw["cases"].items():
            at = ("cases", name)
            yield from self._answers((*at, "answers"), case.get("answers", {}))
            yield from self._decisions((*at, "decisions"), case.get("decisions", {}))
            yield from self._duration((*at, "deadline"), case.get("deadline"))
            yield from self._expect((*at, "expect"), case.get("expect", {}))

    def _answers(self, at: Place, table: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
        yield from self._tasks_named(at, table)
        for step, answers in table.items():
            known = [*self._organizations, DEFAULT]
            yield from self._named((*at, step), ((name, name) for name in answers), known, "organization")
            for name, given in answers.items():
                several = isinstance(given, list)
                for index, each in enumerate(given if several else [given]):
                    if isinstance(each, dict):
                        place = (*at, step, name, *([index] if several else []), "after")
                        yield from self._duration(place, each.get("after"))

    def _decisions(self, at: Place, table: Mapping[str, Any]) -> Iterator[Problem]:
        for name, given in table.items():
            step, problem = self._step(at, name, self._gates, "gate")
            approvers = _approvers(step) if step is not None else None
            if problem is not None:
                yield problem
            elif approvers is None:
                hint = f"the gates are: {', '.join(self._gates)}" if self._gates else "this workflow has no gates"
                message = f"step {name} is not a gate, so nobody decides at it"
                yield self._problem((*at, name), message, "no-gate", hint, key=True)
            elif isinstance(given, dict):
                by, place = given.get("by"), (*at, name)
                yield from self._duration((*place, "after"), given.get("after"))
                if by is not None and approvers and by not in approvers:
                    message = f"{by} may not decide at step {name}"
                    hint = f"it asks {', '.join(approvers)}; without `by`, {approvers[0]} decides"
                    yield self._problem((*place, "by"), message, "approver", hint)

    def _expect(self, at: Place, expect: Mapping[str, Any]) -> Iterator[Problem]:
        outputs, steps, sent = (expect.get(key, {}) for key in ("outputs", "steps", "sent"))
        yield from self._keys((*at, "outputs"), outputs, self._workflow.outputs, "output")
        lacking = expect.get("incomplete", ())
        if not isinstance(lacking, str):
            known = [*self._steps, *(f"outputs.{name}" for name in self._workflow.outputs)]
            given = ((name, name) for name in lacking) if isinstance(lacking, dict) else enumerate(lacking)
            yield from self._named((*at, "incomplete"), given, known, "step")
        for name in steps:
            _, problem = self._step((*at, "steps"), name, self._steps, "step")
            if problem is not None:
                yield problem
        yield from self._tasks_named((*at, "sent"), sent)
        for step, by in sent.items():
            yield from self._keys((*at, "sent", step), by or {}, [*self._organizations, DEFAULT], "organization")
        judged: list[tuple[Place, Any]] = [((*at, "outputs"), outputs), ((*at, "sent"), sent)]
        judged += [((*at, "steps", name, "result"), step.get("result")) for name, step in steps.items()]
        for place, expected in judged:
            for inner, message in matching.faults(expected):
                yield self._problem((*place, *inner), message, "matcher")
        duration = expect.get("duration")
        limits = duration if isinstance(duration, dict) else {}
        yield from self._duration((*at, "duration"), duration if isinstance(duration, str) else None)
        for key, limit in limits.items():
            yield from self._duration((*at, "duration", key), limit)

    def _tasks_named(self, at: Place, table: Iterable[str]) -> Iterator[Problem]:
        for name in table:
            step, problem = self._step(at, name, self._tasks, "task step")
            if problem is not None:
                yield problem
            elif step is not None and not step.asks:
                message = f"step {name} sends no requests itself, also in a test"
                gate = _approvers(step) is not None
                hint = "decisions of people at a gate are given under `decisions`" if gate else None
                yield self._problem((*at, name), message, "local-step", hint, key=True)

    def _step(self, at: Place, name: str, known: Iterable[str], what: str) -> tuple[Step | None, Problem | None]:
        """The step of the workflow with a name, or the problem if there is none; `known` are the candidates."""
        try:
            address = addresses.parse(name)
        except ValueError as error:
            hint = "write step, or fit[2].step for an iteration, or table[age].step for an item"
            return None, self._problem((*at, name), str(error), "unknown-step", hint, key=True)
        step = self._steps.get(address.definition)
        if step is None:
            near = suggestion(address.definition, known) or f"there are: {', '.join(known) or 'none'}"
            return None, self._problem((*at, name), f"no {what} {name!r}", "unknown-step", near, key=True)
        wrong = self._wrong_brackets(address)
        if wrong is not None:
            return None, self._problem((*at, name), wrong[0], "unknown-step", wrong[1], key=True)
        return step, None

    def _wrong_brackets(self, address: FixtureAddress) -> tuple[str, str] | None:
        """The problem with the numbers and keys in a name, and a hint."""
        path = ""
        for part in address.parts:
            path += part.name
            holder = self._steps[path]
            if part.chosen is not None:
                iteration = STEP_KINDS[holder.kind].iteration
                if iteration == "loop" and part.number is None:
                    return f"{path} has iterations, and no items with keys", f"write {path}[2] for the second iteration"
                if iteration is None:
                    return f"step {path} has neither iterations nor items", f"write {path}"
                if part is address.parts[-1]:
                    inside = [name for name in self._steps if name.startswith(f"{path}.")]
                    what = "iteration" if iteration == "loop" else "item"
                    return f"{address.text} is not a step but an {what} of one", (
                        f"name a step inside: {address.text}.{inside[0].removeprefix(path + '.')}"
                    )
            path += "."
        return None

    def _keys(self, at: Place, given: Iterable[str], known: Iterable[str], what: str) -> Iterator[Problem]:
        yield from self._named(at, ((name, name) for name in given), known, what)

    def _named(
        self, at: Place, given: Iterable[tuple[str | int, str]], known: Iterable[str], what: str
    ) -> Iterator[Problem]:
        names, rule = list(known), f"unknown-{what.rpartition(' ')[2]}"
        for key, name in given:
            if name not in names:
                near = suggestion(name, names) or f"there are: {', '.join(names) or 'none'}"
                yield self._problem((*at, key), f"no {what} {name!r}", rule, near, key=True)

    def _duration(self, at: Place, text: str | None) -> Iterator[Problem]:
        try:
            units.seconds(text or "0s")
        except ValueError as error:
            yield self._problem(at, str(error), "out-of-range")

    def _problem(self, at: Place, message: str, rule: str, hint: str | None = None, *, key: bool = False) -> Problem:
        document = self._document
        where = document.key_position(at) if key else document.position(at)
        return Problem(message, rule, document.name, where, hint)


def _steps(workflow: Workflow, prefix: str = "") -> Iterator[tuple[str, Step]]:
    """The steps of a workflow and of its called workflows, by their names in runs."""
    for name, step in workflow.steps.items():
        yield prefix + name, step
        if step.inner is not None:
            yield from _steps(step.inner, f"{prefix}{name}.")


def _approvers(step: Step) -> tuple[str, ...] | None:
    return STEP_KINDS[step.kind].approvers(step)


def problems(path: str) -> list[Problem]:
    """All problems of a test file or its workflow. Raises UsageError if the file cannot be read."""
    found: list[Problem] = []
    _read_noting(path, found)
    return found


def find(places: Iterable[str]) -> list[str]:
    """The files among `places`, and the test files in the folders among them, in a stable order.

    Raises UsageError for a missing place.
    """
    found: dict[str, None] = {}
    for place in places:
        why = paths.obstacle(place)
        if why == "it is a folder":
            found.update(dict.fromkeys(_below(Path(place))))
        elif why is None:
            found[place] = None
        else:
            message = f"no file or folder {place}" if why == "it is not there" else f"{place} cannot be read: {why}"
            raise UsageError(message, hint="write the path of a test file, or of a folder")
    return list(found)


def _below(folder: Path) -> Iterator[str]:
    """The test files in a folder and below, without links, hidden folders and virtual environments."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and not _is_environment(place, each))
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix in (".yaml", ".yml") and not path.is_symlink() and _is_test(path):
                yield os.path.normpath(path)


def _is_test(path: Path) -> bool:
    return path.stem.endswith(".test") or loading.file_kind(path) == "test"


def _is_environment(place: str, folder: str) -> bool:
    return paths.is_file(Path(place) / folder / "pyvenv.cfg")
