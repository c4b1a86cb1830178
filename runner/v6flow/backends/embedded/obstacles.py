"""What keeps a task run from starting, told before anything is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.backends.embedded import environment
from v6flow.backends.embedded.records import Mishap, TaskRun
from v6flow.core.federation import sqlite_file
from v6flow.core.words import suggestion

if TYPE_CHECKING:
    from v6flow.core.federation import Database, EmbeddedFederation


def obstacle(run: TaskRun, federation: EmbeddedFederation) -> Mishap | None:
    """What keeps a task run from starting, None if nothing does."""
    algorithm = federation.algorithms.get(run.task.image)
    if algorithm is None:
        return _no_image(run.task.image, federation)
    if algorithm.path is not None and not Path(algorithm.path).is_dir():
        return Mishap(
            "no_image",
            f"the folder {algorithm.path!r} of the image {algorithm.image!r} does not exist",
            f"mend its `path` under `algorithms` in {federation.file}",
        )
    if algorithm.python is not None and not os.access(algorithm.python, os.X_OK):
        return Mishap(
            "no_image",
            f"the interpreter {algorithm.python!r} of the image {algorithm.image!r} cannot be run",
            f"mend its `python` under `algorithms` in {federation.file}",
        )
    known = {database.label: database for database in run.organization.databases}
    for wanted in run.task.databases:
        database = known.get(wanted["label"])
        if database is None:
            return _no_database(wanted["label"], known, run.organization.name)
        missing = _missing_file(database)
        if missing is not None:
            message = f"the file of the database {database.label!r} does not exist: {missing}"
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


def _missing_file(database: Database) -> str | None:
    """The path of a database that is a file and is not there; None if it is there, or is no file."""
    path = sqlite_file(database.uri) or database.uri
    return path if path.startswith("/") and not Path(path).exists() else None
