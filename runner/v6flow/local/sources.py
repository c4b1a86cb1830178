"""Finds the source of a local step's function, without importing anything of the user's."""

from __future__ import annotations

import hashlib
import os
import sys
import tokenize
import unicodedata
from importlib.machinery import BuiltinImporter, PathFinder
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow import aggregation, paths
from v6flow.core.checks import signatures
from v6flow.core.checks.signatures import Signature, UnknownSignature
from v6flow.core.language.messages import clip
from v6flow.core.language.words import NEAR_FILE, nearest
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from importlib.machinery import ModuleSpec

_LEFT_OUT = {".v6flow", "__pycache__", ".git"}  # what changes by itself and nobody means by `**/*`


class SourceError(UsageError):
    """A local step's function or files cannot be found, or its source cannot be read (exit 2)."""

    kind = "source"


class Located(Struct, frozen=True):
    """Where a function stands, and what it takes as far as that can be known.

    `file` is None if it is in none (built into Python).
    """

    function: str
    name: str
    file: Path | None
    signature: Signature | UnknownSignature


def locate(function: str, folder: Path) -> Located:
    """The source of `file.py:name` (relative to `folder`) or `package.module:name`, as a child would find it.

    Modules are looked for in `folder` and then on this interpreter's path; nothing of the user's is imported.
    Raises SourceError, with the nearest right word, if there is no such file, module or function, and for a
    syntax error in it.
    """
    target, colon, name = function.rpartition(":")
    if not colon or not target or not name.isidentifier():
        raise SourceError(f"{function!r} is no function", hint="write file.py:name, or package.module:name")
    file = _find_file(target, folder) if target.endswith(".py") else _find_module(target, folder)
    return Located(function, name, file, _signature(file, name, target))


def problems(function: str, folder: Path, kwargs: Collection[str] | None) -> list[tuple[str, str | None]]:
    """What is wrong with calling a function so, as sentences and hints; `kwargs` None: they are not known."""
    try:
        located = locate(function, folder)
    except (SourceError, paths.OutsideError) as error:
        return [(error.message, error.hint)]
    if isinstance(located.signature, UnknownSignature):
        return []
    given = kwargs if kwargs is not None else located.signature.required
    return [(message, None) for message in signatures.problems(located.signature, given)]


def digest(function: str | None, folder: Path, files: Sequence[str] = (), words: Sequence[str] = ()) -> str:
    """A digest of the file that a function is in and of what `files` match: names and contents, in order.

    Of the `words` of a command, those count that are the paths of files in the folder, such as a script's.

    Raises SourceError for a function or file that is not there, and for a pattern that matches nothing.
    """
    digest = hashlib.sha256()
    if function is not None:
        parts = "".join(map(_content, _parts(locate(function, folder).file)))
        digest.update(f"function {function}\n{parts}\n".encode())
    for word in words:
        if _is_inside(word) and paths.is_file(folder / word):
            digest.update(f"script {word}\n{_content(folder / word)}\n".encode())
    for path in matches(files, folder):
        relative = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
        digest.update(f"file {relative}\n{_content(path)}\n".encode())
    return digest.hexdigest()


def _parts(file: Path | None) -> list[Path]:
    """The files that a function consists of: its own, and for a built-in aggregation the modules beside it."""
    if file is None:
        return []
    built_in = aggregation.__file__ is not None and file == Path(aggregation.__file__)
    return sorted(file.parent.glob("*.py")) if built_in else [file]


def _is_inside(word: str) -> bool:
    """Whether a word can be a path that stays in the folder it is relative to."""
    path = PurePosixPath(word)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in word


def matches(files: Sequence[str], folder: Path) -> list[Path]:
    """The files that patterns match, each once, sorted. Raises SourceError where one matches nothing."""
    found: set[Path] = set()
    for pattern in files:
        pure = PurePosixPath(pattern)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise SourceError(
                f"files: {pattern!r} is to stay in the workflow's folder",
                hint="write a path relative to the workflow's folder",
            )
        here = {path for path in _glob(pattern, folder) if not _is_left_out(path, folder) and paths.is_file(path)}
        if not here:
            raise SourceError(f"files: nothing matches {pattern!r} in {folder}")
        found |= here
    return sorted(found)


def _glob(pattern: str, folder: Path) -> Iterable[Path]:
    try:
        return list(folder.glob(pattern))
    except (ValueError, NotImplementedError, OSError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"files: {pattern!r} cannot be looked for: {why}") from error


def _is_left_out(path: Path, folder: Path) -> bool:
    return not _LEFT_OUT.isdisjoint(path.relative_to(folder).parts)


def _content(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        for chunk in paths.chunks(path):
            digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------ files


def _find_file(target: str, folder: Path) -> Path:
    if PurePosixPath(target).is_absolute():
        raise SourceError(f"{target} is to be relative to the workflow's folder")
    path = folder / target
    why = paths.obstacle(path)
    if why is None:
        return path
    if why != "it is not there":
        raise SourceError(f"{target} in {folder} cannot be used: {why}", hint="name a regular file of Python")
    beside = (each for near in (folder, path.parent) for each in paths.entries(near))
    stems = {each.stem: each for each in beside if each.suffix == ".py"}
    near = nearest(path.stem, stems, cutoff=NEAR_FILE)
    hint = f"did you mean {os.path.relpath(stems[near], folder)}?" if near else None
    raise SourceError(f"there is no file {target} in {folder}", hint=hint)


# ---------------------------------------------------------------------------------------------------- modules


def _find_module(target: str, folder: Path) -> Path | None:
    """The file of a module; None for one that is built into Python."""
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        hint = f"a file is named with its .py: {target}.py" if "/" in target else "write package.module:name"
        raise SourceError(f"{target!r} is no module", hint=hint)
    PathFinder.invalidate_caches()
    path: list[str] = [str(folder), *sys.path]
    spec = None
    for depth, part in enumerate(parts):
        spec = _spec(part, path, top=depth == 0)
        if spec is None:
            raise _missing(parts[: depth + 1], path)
        path = list(spec.submodule_search_locations or ())
    assert spec is not None  # there is at least one part
    if not spec.has_location or spec.origin is None:
        return None
    origin = Path(spec.origin)  # which for a module in a zip archive is below a file
    if origin.is_relative_to(folder) or not any(origin.is_relative_to(entry) for entry in sys.path if entry):
        paths.check(origin)  # else it is installed beside v6flow, and nothing that a workflow has brought
    return next((path for path in (origin, *origin.parents) if path.is_file()), None)


def _spec(name: str, path: list[str], *, top: bool) -> ModuleSpec | None:
    """A module's spec, found by the last part of its name so that Python imports no parent to find it."""
    if top and (builtin := BuiltinImporter.find_spec(name)) is not None:
        return builtin
    spec = PathFinder.find_spec(name, path)
    if spec is not None or not top:
        return spec
    for finder in sys.meta_path:  # such as those of editable installs
        find = getattr(finder, "find_spec", None)
        if finder is not PathFinder and find is not None and (spec := find(name, None)) is not None:
            found: ModuleSpec = spec
            return found
    return None


def _missing(parts: list[str], path: list[str]) -> SourceError:
    name = ".".join(parts)
    modules = {file.stem for entry in path[:1] or path for file in paths.entries(entry) if file.suffix == ".py"}
    near = nearest(parts[-1], sorted(modules), cutoff=NEAR_FILE)
    hint = f"did you mean {'.'.join([*parts[:-1], near])}?" if near else None
    if hint is None and len(parts) == 1:
        hint = "is the package installed where v6flow runs? A file beside the workflow is named with its .py"
    return SourceError(f"there is no module {clip(name)}", hint=hint)


# ------------------------------------------------------------------------------------------------- signatures


def _signature(file: Path | None, name: str, target: str) -> Signature | UnknownSignature:
    source = _read(file)
    if isinstance(source, UnknownSignature):
        return source
    try:
        found = signatures.find(source, name)
    except SyntaxError as error:
        place = f" at line {error.lineno}" if error.lineno else ""
        raise SourceError(f"{target} is not Python{place}: {error.msg}") from error
    if found is None:
        near = nearest(name, signatures.functions(source))
        there = ", ".join(signatures.functions(source)[:10])
        hint = f"did you mean {near}?" if near else f"it defines {there}" if there else "it defines no functions"
        raise SourceError(f"there is no function {name} in {target}", hint=hint)
    return found


def _read(file: Path | None) -> str | UnknownSignature:
    """The source text of a file, in the encoding that it declares."""
    if file is None:
        return UnknownSignature()
    if file.suffix != ".py":
        return UnknownSignature()
    try:
        with tokenize.open(file) as text:
            return text.read()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise SourceError(f"{file} is no text that Python reads ({type(error).__name__})") from error
