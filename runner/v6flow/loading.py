"""Reading files: workflows, federations and parameters, with all their problems at once."""

from __future__ import annotations

import functools
import gc
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow import paths
from v6flow.core import federation, json, policy, reading
from v6flow.core.checks import soundness
from v6flow.core.kinds import BUILT_IN, STEP_KINDS, register, schema_with_kinds
from v6flow.core.kinds.base import StepKind
from v6flow.core.language import document, redaction, schema
from v6flow.core.language.problem import InvalidError, Problem
from v6flow.core.language.words import NEAR_FILE, nearest, suggestion
from v6flow.core.planning import dependencies
from v6flow.errors import FederationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from v6flow.core.federation import Federation
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Workflow
    from v6flow.core.language.problem import Path as Place
    from v6flow.core.language.problem import Severity

SCHEMAS = Path(__file__).parent / "schemas"
SCHEMA_NAMES = ("workflow", "federation", "test")

_FOLDER, _NOT_THERE, _SAID = "it is a folder", "it is not there", ""
_PATH_OF_KEY = re.compile(r"(?!.*-----).{1,255}\.[A-Za-z]\w{0,7}")


def schema_text(name: str) -> str:
    """The text of `schemas/<name>.schema.json`."""
    return (SCHEMAS / f"{name}.schema.json").read_text("utf-8")


@functools.cache
def read_schema(name: str) -> dict[str, Any]:
    """The schema of that name, parsed."""
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
        problems = schema.problems(found, read_schema(kind))
        if problems:
            raise InvalidError(problems, what=name)
    return found


def read_workflow(path: str | os.PathLike[str]) -> Workflow:
    """The workflow in a file, sound as far as that needs no federation. Raises UsageError, InvalidError."""
    return parse_workflow(read_bytes(path, "workflow"), os.fspath(path))


def parse_workflow(
    text: bytes | str, name: str, *, folder: Path | None = None, around: tuple[str, ...] = ()
) -> Workflow:
    """The workflow of a text that stands in a file of that name, with those of the files that its steps name.

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
    from v6flow import plugins

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
    raw = _federation_document(path).value
    file = Path(path).absolute()

    def absolute(relative: str) -> str:
        return os.path.abspath(file.parent / paths.expand(relative))  # noqa: PTH100 - resolve() follows links

    return federation.parse(raw, str(file), absolute=absolute, reveal=functools.partial(reveal, folder=file.parent))


def _federation_document(path: str | os.PathLike[str]) -> Document:
    found = read_document(path, kind="federation")
    problems = [
        Problem("a federation's defaults are literal: no expression is filled in here", "literal-only", found.name,
                found.position(("defaults", key)), "write the expression in the workflow")
        for key, value in found.value.get("defaults", {}).items() if "{{" in json.dumps(_plain(key, value))
    ]  # fmt: skip
    problems += soundness.count_problems(found)
    for study, members in found.value.get("studies", {}).items():
        for index, name in enumerate(members):
            if name not in found.value["organizations"]:
                where = found.position(("studies", study, index))
                near = suggestion(name, found.value["organizations"])
                problems.append(Problem(f"no organization {name!r}", "unknown-organization", found.name, where, near))
    if problems:
        raise InvalidError(problems, what=found.name)
    return found


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
    found = _federation_document(path)
    checking = _FederationCheck(found, Path(path).absolute().parent)
    if found.value["backend"] == "vantage6":
        for key in ("username", "password", "totp_secret"):
            if key in found.value:
                checking.revealed((key,), found.value[key])
        if "private_key" in found.value:
            checking.file(("private_key",), found.value["private_key"], _key_shown(found.value["private_key"]))
        if "ca_file" in found.value:
            authorities = found.value["ca_file"]
            checking.file(("ca_file",), authorities, f"file of a certificate authority {authorities}", folder=True)
        return checking.problems
    for name, organization in found.value["organizations"].items():
        at = ("organizations", name)
        for label, database in organization.get("databases", {}).items():
            if isinstance(database, str):
                checking.database((*at, "databases", label), database)
            else:
                checking.database((*at, "databases", label, "uri"), database["uri"])
        for variable, text in organization.get("environment", {}).items():
            checking.revealed((*at, "environment", variable), text)
    for image, algorithm in found.value.get("algorithms", {}).items():
        if "python" in algorithm:
            checking.interpreter(("algorithms", image, "python"), algorithm["python"])
        if "path" in algorithm:
            checking.folder(("algorithms", image, "path"), algorithm["path"])
            checking.package(("algorithms", image, "package"), algorithm["package"], algorithm["path"])
    for image in found.value.get("policy", {}).get("counts", {}):
        checking.counted(("policy", "counts", image), image, list(found.value.get("algorithms", {})))
    return checking.problems


class _FederationCheck:
    """Looks for what a federation file names; `problems` are what is not there."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._folder = folder

    def database(self, at: Place, text: str) -> None:
        uri = self.revealed(at, text)
        if uri is None:
            return
        file = federation.sqlite_file(uri) or uri
        if "://" not in file:
            what = f"database file {file}" if uri == text else f"database file: what {text} stands for"
            self.file(at, file, what, folder=True)

    def revealed(self, at: Place, text: str) -> str | None:
        """What a text or a reference stands for; None, and a warning, if that cannot be told.

        None too where somebody else's file is checked: it is not to have our secrets looked up.
        """
        if paths.bounded() and text.startswith("${"):
            return None
        try:
            return reveal(text, folder=self._folder)
        except FederationError as error:
            self._complain(at, error.message, "reference", error.hint, severity="warning")
            return None

    def file(self, at: Place, path: str, what: str, *, folder: bool = False) -> None:
        """That a path is a regular file, or with `folder` a folder."""
        if (why := self._obstacle(at, path)) is not None and not (folder and why == _FOLDER):
            self._missing(at, what, why)

    def folder(self, at: Place, path: str) -> None:
        why = self._obstacle(at, path)
        if why != _FOLDER:
            self._missing(at, f"folder {path}", why or "it is a file")

    def interpreter(self, at: Place, path: str) -> None:
        """That an interpreter is there; it is not read, and is often a link to one that lies elsewhere."""
        file = self._there(path)
        if self._obstacle(at, str(file.parent)) != _FOLDER or not os.access(file, os.F_OK):
            self._missing(at, f"interpreter {path}", _NOT_THERE)

    def _obstacle(self, at: Place, path: str) -> str | None:
        """What keeps a path from being read as a file; `_SAID` if that has been told."""
        try:
            return paths.obstacle(self._there(path))
        except paths.OutsideError as error:
            self._complain(at, error.message, "outside", error.hint)
            return _SAID

    def _missing(self, at: Place, what: str, why: str) -> None:
        if why != _SAID:
            self._complain(at, f"no {what}" if why == _NOT_THERE else f"{what} cannot be used: {why}", "missing-file")

    def package(self, at: Place, package: str, path: str) -> None:
        folder = self._there(path)
        *outer, name = package.split(".")
        beside = folder.joinpath(*outer)
        try:
            if not paths.is_folder(folder) or paths.is_folder(beside / name) or paths.is_file(beside / f"{name}.py"):
                return
            names = [each.stem for each in paths.entries(beside) if each.suffix == ".py" or paths.is_folder(each)]
        except paths.OutsideError:
            return  # of the folder that is told, and a link out of it is no package
        near = nearest(name, sorted(names))
        hint = f"did you mean {'.'.join([*outer, near])}?" if near else None
        self._complain(at, f"no package {package} in the folder {path}", "missing-file", hint)

    def counted(self, at: Place, image: str, known: Sequence[str]) -> None:
        """Warn of an image whose counts are declared, and that no algorithm of the federation has."""
        if not any(policy.may_mean(image, each) for each in known):
            message = f"no algorithm of this federation has the image {image}, so these counts are never used"
            hint = suggestion(image, known) or f"it has {', '.join(known) or 'none'}"
            where = self._document.key_position(at)
            self.problems.append(Problem(message, "unknown-image", self._document.name, where, hint, "warning"))

    def _there(self, path: str) -> Path:
        return self._folder / paths.expand(path)

    def _complain(
        self, at: Place, message: str, rule: str, hint: str | None = None, *, severity: Severity = "error"
    ) -> None:
        where = self._document.position(at)
        self.problems.append(Problem(message, rule, self._document.name, where, hint, severity))


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
        message = "a file of sets of params is a list of mappings, none of them empty"
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


def reveal(text: str, *, folder: Path) -> str:
    """What a reference (`${env:NAME}`, `${file:PATH}`, `${keyring:SERVICE/USER}`) stands for; else the text itself.

    Where somebody else's file is checked, nothing is looked up, and a reference stays as it is. Raises FederationError.
    """
    if not text.startswith("${") or paths.bounded():
        return text
    from v6flow.references import Secret

    return Secret(text, folder).reveal(may_be_empty=True)


def _key_shown(path: str) -> str:
    """What a message calls a private key: by its path, unless what should be a path may be the key itself."""
    return f"private key {path}" if _PATH_OF_KEY.fullmatch(path) else "private key: what `private_key` names"


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
