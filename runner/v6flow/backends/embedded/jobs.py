"""The folder that a task run works in, with all that it is given."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from v6flow.backends.embedded import environment, responses

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.backends.embedded.configuration import Algorithm
    from v6flow.backends.embedded.task_records import TaskRun


def prepare(run: TaskRun, work: Path, algorithm: Algorithm, *, port: int, bearer: str) -> Path:
    """Make the folder, inside the place where the answer is kept; the instructions for a zygote."""
    temporary = work / "temporary"
    temporary.mkdir(mode=0o700, parents=True)
    (work / "input").write_bytes(run.input)
    (work / "output").touch(mode=0o600)  # a node gives an empty file too
    (work / "token").write_text(bearer, encoding="ascii")
    files = environment.Files(
        input=str(work / "input"),
        output=str(work / "output"),
        token=str(work / "token"),
        temporary=str(temporary),
    )
    variables = environment.variables(
        run.organization,
        run.task.databases,
        files,
        package=algorithm.package,
        port=port,
        image_environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(temporary),  # a netrc or a setting of the user's own must not reach an algorithm
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
        },
    )
    request = {
        "work": str(work),
        "answer": str(work.parent / responses.ANSWER),
        "log": None if run.task.withheld else str(work.parent / responses.LOG),
        "package": algorithm.package,
        "method": method_of(run),
        "path": algorithm.path,
        "environment": variables,
    }
    (work / "request").write_text(json.dumps(request), encoding="utf-8")
    return work / "request"


def method_of(run: TaskRun) -> str:
    """The function that a task run is to call, empty if its input names none."""
    with suppress(ValueError):
        value = json.loads(run.input)
        if isinstance(value, dict):
            return str(value.get("method", ""))
    return ""
