"""Reading files: workflows, federations and parameters, with all their problems at once."""

from __future__ import annotations

import functools
import gc
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow import backends, paths, plugins
from v6flow.backends import fragments
from v6flow.core import json, reading
from v6flow.core.checks import soundness
from v6flow.core.kinds import BUILT_IN, STEP_KINDS, register, schema_with_kinds
from v6flow.core.kinds.base import StepKind
from v6flow.core.language import document, redaction, schema
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.language.words import NEAR_FILE, nearest
from v6flow.core.planning import dependencies
from v6flow.errors import UsageError
from v6flow.plugins import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.backends.base import Federation
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Workflow
    from v6flow.core.language.problem import Path as Place

SCHEMAS = Path(__file__).parent / "schemas"
SCHEMA_NAMES = ("workflow", "federation", "test")


def schema_text(name: str) -> str:
    """The text of `schemas/<name>.schema.json`; that of federation files is put together from the backends'."""
    if name == "federation":
        return fragments.text(fragments.built_in()) + "\n"
    return (SCHEMAS / f"{name}.schema.json").read_text("utf-8")


@functools.cache
def read_schema(name: str) -> dict[str, Any]:
    """The schema of that name, parsed."""
    if name == "federation":
        return fragments.built_in()
    parsed = json.loads(schema_text(name))
    assert isinstance(parsed, dict)
    return parsed


def workflow_schema() -> dict[str, Any]:
    """The schema of workflows with the kinds of steps that are registered."""
    schema = read_schema("workflow")
    return schema if STEP_KINDS.keys() == BUILT_IN else schema_with_kinds(schema)


def read_document(path: str | os.PathLike[str], *, kind: str) -> Document:
    """The document in a file, sound by the schema of its kind. Raises UsageError, InvalidError."""
    return parse_document(read_bytes(path, kind), os.fspath(path), kind=kind)


def parse_document(text: bytes | str, name: str, *, kind: str) -> Document:
    """The document of a text, sound by the schema of its kind. Raises InvalidError with all problems."""
    with _no_collection(), _showing(text, kind):
        found = document.parse(text, name)
        problems = schema.problems(found, _schema_for(found) if kind == "federation" else read_schema(kind))
        if problems:
            raise InvalidError(problems, what=name)
    return found


def _schema_for(federation: Document) -> dict[str, Any]:
    """The schema of a federation file. Raises InvalidError where a package that brings its backend is broken."""
    try:
        return fragments.schema_for(federation.value.get("backend"))
    except PluginError as error:
        where = federation.position(("backend",))
        raise InvalidError([Problem(error.message, "backend", federation.name, where, error.hint)]) from error


def read_workflow(path: str | os.PathLike[str]) -> Workflow:
    """The workflow in a file, sound as far as that needs no federation. Raises UsageError, InvalidError."""
    return parse_workflow(read_bytes(path, "workflow"), os.fspath(path))


def parse_workflow(
    text: bytes | str, name: str, *, folder: Path | None = None, around: tuple[str, ...] = ()
) -> Workflow:
    """The workflow of a text that is in a file of that name, with those of the files that its steps name.

    `around` are the files that have led to this one. Raises InvalidError with all problems.
    """
    with _no_collection(), _showing(text, "workflow"):
        found = document.parse(text, name)
        register_kinds(found.value)
        problems = schema.problems(found, workflow_schema())
        files = _Files(found, folder or Path(name).absolute().parent, around)
        called, included = files.read(), files.included()
        problems += files.problems
        if problems:
            workflow = reading.sound_part(found, problems, called, included)
        else:
            workflow = reading.parse(found, files=called, included=included)
        if workflow is not None:
            problems += soundness.check(workflow)
            problems += check_functions(workflow, folder or Path(name).absolute().parent)
        if workflow is None or any(problem.severity == "error" for problem in problems):
            raise InvalidError(sorted(problems, key=lambda problem: problem.position), what=name)
    return workflow


def parse_kept(text: str, name: str, kept: Mapping[str, str] | None = None) -> Workflow:
    """The workflow of a text that a run has kept: it was sound then, whatever became since of the files it names.

    `kept` are the texts of the other workflow files, by their paths.
    """
    with _no_collection():
        found = document.parse(text, name)
        register_kinds(found.value)
        folder = Path(name).absolute().parent
        files = {}
        for written in dict.fromkeys(written for _, written in _called(found.value)):
            path = os.path.normpath(folder / written)
            files[written] = parse_kept((kept or {})[path], path, kept)
        paths = [os.path.normpath(folder / written) for written in _included(found.value)]
        included = [document.parse((kept or {})[path], path) for path in paths]
        return reading.parse(found, files=files, included=included)


class _Files:
    """Reads the workflow files that the steps of a file name; `problems` are those that cannot be."""

    def __init__(self, document: Document, folder: Path, around: tuple[str, ...]) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._folder = folder
        self._around = (*around, os.path.normpath(Path(document.name).absolute()))

    def read(self) -> dict[str, Workflow]:
        """The workflows, by the names that the steps give their files."""
        found: dict[str, Workflow] = {}
        for at, written in _called(self._document.value):
            if written in found:
                continue
            path = os.path.normpath(self._folder / written)
            if path in self._around:
                way = " → ".join(Path(each).name for each in (*self._around[self._around.index(path) :], path))
                self._complain(at, f"these files run each other: {way}", "cycle", None)
                continue
            try:
                found[written] = parse_workflow(read_bytes(path, "workflow"), path, around=self._around)
            except InvalidError as error:
                self._complain(at, f"the workflow {written} is not sound: {error.first}", "workflow", None)
            except UsageError as error:
                self._complain(at, error.message, "workflow", error.hint)
        return found

    def included(self) -> list[Document]:
        """The documents that are included."""
        found: list[Document] = []
        for number, written in enumerate(_included(self._document.value)):
            path = os.path.normpath(self._folder / written)
            try:
                text = read_bytes(path, "included")
                with _showing(text, "workflow"):
                    other = document.parse(text, path)
                    problems = schema.problems(other, _include_schema())
                    if problems:
                        raise InvalidError(problems, what=path)
                found.append(other)
            except InvalidError as error:
                self._complain(("include", number), f"{written} cannot be included: {error.first}", "include", None)
            except UsageError as error:
                self._complain(("include", number), error.message, "include", error.hint)
        return found

    def _complain(self, at: Place, message: str, rule: str, hint: str | None) -> None:
        where = self._document.position(at if at[0] == "include" else (*at, "workflow", "file"))
        self.problems.append(Problem(message, rule, self._document.name, where, hint))


def _included(value: Any) -> list[str]:
    """The files that a document includes, as far as it is sound."""
    named = value.get("include") if isinstance(value, dict) else None
    return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []


@functools.cache
def _include_schema() -> dict[str, Any]:
    """What an included file may say: of what a workflow may, its params and defaults."""
    whole = read_schema("workflow")
    kept = {key: whole["properties"][key] for key in ("v6flow", "description", "params", "defaults")}
    return {**whole, "properties": kept, "required": ["v6flow"]}


def _called(value: Any) -> Iterator[tuple[Place, str]]:
    """The places of the steps that run other files, with the names of those, as far as a document is sound."""
    for at, step in _raw_steps(value):
        for key, kind in STEP_KINDS.items():
            said = step.get(key)
            if kind.calls and isinstance(said, dict) and isinstance(said.get("file"), str):
                yield at, said["file"]


def _raw_steps(value: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The steps of a document with their places, nested ones too, as far as it is sound."""
    sections = value if isinstance(value, dict) else {}
    waiting: list[tuple[Place, Any]] = [((key,), sections.get(key)) for key in ("finally", "steps")]
    while waiting:
        at, steps = waiting.pop()
        for name, step in steps.items() if isinstance(steps, dict) else ():
            if isinstance(step, dict):
                yield (*at, name), step
                waiting += [((*at, name, key, "steps"), step[key].get("steps")) for key, kind in STEP_KINDS.items()
                            if kind.nests and isinstance(step.get(key), dict)]  # fmt: skip


def register_kinds(value: Any) -> None:
    """Have the kinds of a document's steps registered that other packages bring. Raises UsageError.

    Installed packages are looked through only for steps that are of no known kind.
    """
    for _, step in _raw_steps(value):
        if STEP_KINDS.keys().isdisjoint(step):
            for key in step.keys() - read_schema("workflow")["$defs"]["step"]["properties"].keys():
                _register_kind(key)


def _register_kind(key: str) -> None:
    kind = plugins.load("v6flow.step_kinds", key)
    if kind is None:
        return
    if not isinstance(kind, StepKind) or kind.key != key:
        raise UsageError(f"the entry point {key} of v6flow.step_kinds is no kind of step with that key")
    register(kind)


def check_functions(workflow: Workflow, folder: Path) -> list[Problem]:
    """What is wrong with the Python functions that local steps name, found without running their code."""
    steps = workflow.steps.values()
    called = [(step, found) for step in steps if (found := STEP_KINDS[step.kind].function(step)) is not None]
    if not called:
        return []
    from v6flow.local import sources

    problems: list[Problem] = []
    for step, (at, name, kwargs) in called:
        given = list(kwargs.source) if isinstance(kwargs.source, dict) else []
        for message, hint in sources.problems(name, folder, given):
            where = workflow.document.position((*step.common.at, *at))
            problems.append(Problem(message, "function", workflow.document.name, where, hint))
    return problems


def read_federation(path: str | os.PathLike[str]) -> Federation:
    """The federation in a file; nothing is asked of a server. Raises UsageError, InvalidError, FederationError."""
    from v6flow import references
    from v6flow.backends.base import FederationFile

    found, backend = _federation_document(path)
    file = Path(path).absolute()

    def absolute(relative: str) -> str:
        return os.path.abspath(file.parent / paths.expand(relative))  # noqa: PTH100 - resolve() follows links

    reveal = functools.partial(references.reveal, folder=file.parent)
    return backend.parse(FederationFile(str(file), found.value, absolute, reveal))


def _federation_document(path: str | os.PathLike[str]) -> tuple[Document, type[Federation]]:
    found = read_document(path, kind="federation")
    backend = backends.find(found.value["backend"])
    assert backend is not None, "the schema knows backends that there are"
    problems = [
        Problem("a federation's defaults are literal: no expression is filled in here", "literal-only", found.name,
                found.position(("defaults", key)), "write the expression in the workflow")
        for key, value in found.value.get("defaults", {}).items() if "{{" in json.dumps(_plain(key, value))
    ]  # fmt: skip
    problems += [*soundness.count_problems(found), *backend.problems(found)]
    if problems:
        raise InvalidError(problems, what=found.name)
    return found, backend


def _plain(key: str, value: Any) -> Any:
    """What of a federation's default must be literal: all but how the count of a disclosure is told from a result."""
    return {part: value[part] for part in value if part != "count"} if key == "disclosure" else value


def federation_file(workflow: Workflow, given: str | None) -> str | None:
    """The federation file that is meant: the one given, else V6FLOW_FEDERATION, else the workflow's.

    None if there is none, also where it is missing and the workflow does not need it.
    """
    if given:
        return given
    file = os.environ.get("V6FLOW_FEDERATION")
    if file is None and workflow.federation is not None:
        file = os.path.normpath(Path(workflow.document.name).parent / workflow.federation)
    if file is None or dependencies.needs_federation(workflow):
        return file
    paths.check(file)
    return file if os.path.lexists(file) else None


def check_federation(path: str | os.PathLike[str]) -> list[Problem]:
    """What is wrong with a federation file beyond its schema: what it names, and is not there.

    That a reference cannot be resolved is a warning only: the file may be checked where no secrets are.
    Raises UsageError, InvalidError.
    """
    from v6flow.backends.existence import ExistenceCheck

    found, backend = _federation_document(path)
    check = ExistenceCheck(found, Path(path).absolute().parent)
    backend.check_existence(check)
    return check.problems


def read_params(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a parameter file (YAML or JSON), also one that is a pipe. Raises UsageError, InvalidError."""
    text = read_bytes(path, "parameter", inherited=True)
    with _no_collection(), _showing(text, "parameter"):
        value: dict[str, Any] = document.parse(text, os.fspath(path)).value
    return value


def read_param_sets(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The list of mappings in a file of sets of params (YAML or JSON). Raises UsageError, InvalidError."""
    text = read_bytes(path, "parameter", inherited=True)
    with _no_collection(), _showing(text, "parameter"):
        found = document.parse(text, os.fspath(path), listed=True)
    value: Any = found.value
    sets = value if isinstance(value, list) else []
    if not sets or not all(isinstance(each, dict) and each for each in sets):
        odd = next((index for index, each in enumerate(sets) if not isinstance(each, dict) or not each), None)
        where = found.position(() if odd is None else (odd,))
        message = "a file of param sets is a list of non-empty mappings"
        raise InvalidError([Problem(message, "param", found.name, where, "write items such as `- {column: age}`")])
    return sets


def read_bytes(path: str | os.PathLike[str], what: str, *, inherited: bool = False) -> bytes:
    """The bytes of a regular file (with `inherited`, also of a pipe: see `paths.read`).

    Raises UsageError that names the nearest file there is.
    """
    try:
        return paths.read(path, document.MAX_BYTES + 1, inherited=inherited)
    except FileNotFoundError as error:
        raise UsageError(f"no {what} file {os.fspath(path)}", hint=_near_file(Path(path), what)) from error
    except OSError as error:
        raise UsageError(f"the {what} file {os.fspath(path)} cannot be read: {error.strerror}") from error


def _near_file(path: Path, what: str) -> str | None:
    """A hint with the YAML file that was meant, if one beside it is called almost so and is of the right kind."""
    stems = {each.stem: each for each in paths.entries(path.parent) if each.suffix in (".yaml", ".yml")}
    near = nearest(path.stem, stems, cutoff=NEAR_FILE)
    if near is None or file_kind(stems[near]) not in (what, None):
        return None
    return f"did you mean {stems[near].name}?"


def file_kind(file: Path) -> str | None:
    """What a file's first lines say that it is; None if they do not, or if it cannot be read."""
    try:
        head = paths.read(file, 64 * 1024)
    except (OSError, paths.OutsideError):
        return None
    return redaction.kind_of(head)


@contextmanager
def _showing(text: bytes | str, kind: str) -> Iterator[None]:
    """Keep the problems of a text, which should be a file of a kind, from quoting what must not be shown."""
    try:
        yield
    except InvalidError as error:
        told = redaction.told(error.problems, text, kind)
        raise InvalidError(told, what=told[0].file, hint=error.hint) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Many small objects come to stay: searching them for garbage costs more than reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
