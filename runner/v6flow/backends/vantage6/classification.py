"""Why a task run failed, in plain words: from its status and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.backends.vantage6.refusals import plain
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.backends.vantage6.records import Run

UNSHARED = "Node does not allow sharing algorithm logs"  # what a node sends instead
TAIL_LINES, TAIL_CHARACTERS = 20, 4000

_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = pattern(r"^[A-Za-z_][\w.]*(:.*)?$")
_SIBLING = pattern(r"sibling run id=(\d{1,18}) failed with status '([^']{1,80})'")
_NO_LABEL = pattern(r"KeyError: '([A-Z0-9_]*)_DATABASE_URI'")


class Classification(Struct, frozen=True):
    """Why: `kind` and `own` as in `backends.base.Failed`."""

    kind: str
    message: str
    hint: str | None = None
    own: bool = False


def of(run: Run, image: str, siblings: Mapping[int, str]) -> Classification:
    """Why a run failed; `siblings` are the organizations of its task by the ids of their runs."""
    log = shared_log(run)
    if run.is_consequence:
        return _consequence(run, siblings)
    match run.status:
        case "crashed":
            return _crashed(log)
        case "start failed":
            return Classification("start_failed", _with("the node could not start the algorithm", log))
        case "non-existing Docker image":
            hint = "is its name right, and may the node pull it?"
            return Classification("no_image", f"the node found no image {image}", hint, own=True)
        case "not allowed":
            hint = "the node's administrator decides which images it allows"
            return Classification("not_allowed", f"the node does not allow the image {image}", hint, own=True)
        case "killed by user":
            return Classification("killed", "somebody killed it at the server", own=True)
        case _:
            said = f"the node reports {run.status!r}"
            return Classification("unknown", _with(said, log), None if log else _unshared(run))


def shared_log(run: Run) -> str:
    """A run's log, empty where its node keeps it to itself."""
    return "" if run.log.strip() == UNSHARED else run.log


def tail(log: str) -> str:
    """The last lines of a log."""
    return "\n".join(log.rstrip().splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]


def _consequence(run: Run, siblings: Mapping[int, str]) -> Classification:
    found = _SIBLING.search(run.log)
    first = f"run {found[1]} failed first ({found[2]})" if found else "another organization failed first"
    if found and int(found[1]) in siblings:
        first = f"{siblings[int(found[1])]} failed first ({found[2]})"
    return Classification(
        "consequence",
        f"the server ended it before it began, as a consequence: {first}",
        "with isolation: organization one failure does not end the others",
    )


def _crashed(log: str) -> Classification:
    if not log.strip():
        said = "the algorithm ended with an error, and its node does not share logs"
        return Classification("crashed", said, _ASK_THE_NODE, own=True)
    raised = last_exception(log)
    if raised is None:
        return Classification("crashed", _with("the algorithm ended with an error", log))
    label = _NO_LABEL.fullmatch(raised)
    if label is None:
        return Classification("crashed", raised)
    if label[1]:
        return Classification(
            "no_database",
            f"the node has no database {label[1].lower()}",
            "`v6flow doctor --federation FILE` lists its labels",
        )
    hint = "the function wants a database and the task names none: add `databases: [<label>]` to the step"
    return Classification("crashed", raised, hint, own=True)


_ASK_THE_NODE = "who runs the node can read the log there"


def _unshared(run: Run) -> str | None:
    return f"its node does not share logs; {_ASK_THE_NODE}" if run.log.strip() == UNSHARED else None


def _with(said: str, log: str) -> str:
    """A sentence, and the last thing the log says."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error > ") and line != "error > None"]
    last = [line for line in errors or lines if not line.startswith("info > ")][-1:]
    return f"{said}: {plain(last[0].removeprefix('error > '))}" if last else said


def last_exception(log: str) -> str | None:
    """The last line of the last traceback in a log, None if there is no traceback."""
    _, found, after = log.rpartition(_TRACEBACK)
    if not found:
        return None
    for line in after.splitlines()[1:]:
        if line and not line[0].isspace() and _EXCEPTION.match(line):
            return plain(line)
    return None
