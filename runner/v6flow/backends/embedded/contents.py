"""What the results of an embedded federation depend on: the contents of its databases and of its algorithms."""

from __future__ import annotations

import hashlib
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow import paths
from v6flow.backends.embedded.configuration import sqlite_file
from v6flow.core.json import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.backends.embedded.configuration import Algorithm, EmbeddedFederation
    from v6flow.core.json import Json


class Contents:
    """The contents of a federation's files, each read again only when its size or its time has changed."""

    def __init__(self, federation: EmbeddedFederation) -> None:
        self._federation = federation
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def digest(self) -> str:
        """A digest of all; what is elsewhere, a database behind an address, counts by its name alone."""
        databases: list[Json] = [
            [organization.name, database.label, self._database(database.uri)]
            for organization in self._federation.organizations
            for database in organization.databases
        ]
        algorithms: list[Json] = [
            [image, *(self._file(path) for path in _sources(algorithm))]
            for image, algorithm in self._federation.algorithms.items()
        ]
        return digest([databases, algorithms])

    def _database(self, uri: str) -> str:
        if "://" not in uri:
            return self._file(Path(uri))
        file = sqlite_file(uri)
        return uri if file is None else self._file(Path(file))

    def _file(self, path: Path) -> str:
        """A digest of a file's contents; empty if it cannot be read."""
        try:
            if paths.obstacle(path) is not None:  # a FIFO would wait for ever
                return ""
            info = path.stat()
            stamp = info.st_size, info.st_mtime_ns
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = self._known[path] = stamp, _read(path)
        except OSError:
            return ""
        return known[1]


def _read(path: Path) -> str:
    read = hashlib.blake2b(digest_size=16)
    for chunk in paths.chunks(path):
        read.update(chunk)
    return read.hexdigest()


def _sources(algorithm: Algorithm) -> Iterator[Path]:
    """The Python files of an algorithm's package; none if another interpreter has it in a place of its own."""
    if algorithm.path is None and algorithm.python is not None:
        return
    package = algorithm.package.partition(".")[0]
    spec = PathFinder.find_spec(package, [algorithm.path]) if algorithm.path is not None else find_spec(package)
    if spec is None:
        return
    folders = list(spec.submodule_search_locations or ())
    for folder in folders:
        yield from sorted(Path(folder).rglob("*.py"))
    if not folders and spec.origin is not None:
        yield Path(spec.origin)
