"""What keeps a task run from starting, found before anything is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from v6flow import paths
from v6flow.backends.embedded import environment
from v6flow.backends.embedded.configuration import sqlite_file
from v6flow.backends.embedded.task_records import Mishap, TaskRun
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from v6flow.backends.embedded.configuration import Database, EmbeddedFederation

_NOT_THERE = "it is not there"


def obstacle(run: TaskRun, federation: EmbeddedFederation) -> Mishap | None:
    """What keeps a task run from starting, None if nothing does."""
    algorithm = federation.algorithms.get(run.task.image)
    if algorithm is None:
        return _no_image(run.task.image, federation)
    if algorithm.path is not None and not paths.is_folder(algorithm.path):
        return Mishap(
            "no_image",
            f"the folder {algorithm.path!r} of the image {algorithm.image!r} does not exist",
            f"correct its `path` under `algorithms` in {federation.file}",
        )
    if algorithm.python is not None and not os.access(algorithm.python, os.X_OK):
        return Mishap(
            "no_image",
            f"the interpreter {algorithm.python!r} of the image {algorithm.image!r} cannot be run",
            f"correct its `python` under `algorithms` in {federation.file}",
        )
    known = {database.label: database for database in run.organization.databases}
    for wanted in run.task.databases:
        database = known.get(wanted["label"])
        if database is None:
            return _no_database(wanted["label"], known, run.organization.name)
        found = unusable(database)
        if found is not None:
            path, why = found
            what = "does not exist" if why == _NOT_THERE else f"cannot be read, {why}"
            message = f"the file of the database {database.label!r} {what}: {path}"
            return Mishap("no_database", message, f"mend it in {federation.file}")
    refused = environment.refused_variable(run.organization, run.task.databases)
    return None if refused is None else Mishap("start_failed", refused, f"mend it in {federation.file}")


def _no_image(image: str, federation: EmbeddedFederation) -> Mishap:
    known = list(federation.algorithms)
    message = f"no package stands for the image {image!r}; known: {', '.join(known) or 'none'}"
    near = suggestion(image, known)
    meant = f"{near} Otherwise " if near else ""
    return Mishap("no_image", message, f"{meant}add it under `algorithms` in {federation.file}")


def _no_database(label: str, known: dict[str, Database], organization: str) -> Mishap:
    return Mishap(
        "no_database",
        f"{organization} has no database {label!r}; it has: {', '.join(known) or 'none'}",
        suggestion(label, known),
    )


def unusable(database: Database) -> tuple[str, str] | None:
    """The path of a database's file that cannot be read, and why; None if it can be, or is at an address.

    A folder may be a database of a type whose files are not known here.
    """
    path = sqlite_file(database.uri) or database.uri
    why = paths.obstacle(path) if path.startswith("/") else None
    if why is None or (why == "it is a folder" and database.type in ("parquet", "other")):
        return None
    return path, why
