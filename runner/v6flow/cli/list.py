"""List the runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.cli import arguments as common
from v6flow.cli.status import current

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.stores.base import StoredRun


def configure(parser: Parser) -> None:
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.language.units import spell
    from v6flow.reporters.summary import WITH_RESULTS

    store = common.open_store(arguments)
    runs = [_row(store.find(name)) for name in store.runs()]
    if arguments.output == "json":
        show.write({"runs": runs})
        return 0
    if not runs:
        show.lines(["no runs yet"])
        return 0
    width = max(len(run["run"]) for run in runs)
    for run in runs:
        took = spell(run["seconds"]) if run["seconds"] is not None else ""
        less = "incomplete" if run["incomplete"] and run["status"] in WITH_RESULTS else ""
        cells = f"{run['run']:<{width}}  {run['status']:<11}  {run['started'] or '':<20}  {took:<7}  {less}"
        show.data(cells.rstrip() + "\n")
    return 0


def _row(folder: StoredRun) -> dict[str, Any]:
    from v6flow.core.execution.state import replay
    from v6flow.core.planning.plan import iso
    from v6flow.core.views import incomplete
    from v6flow.errors import JournalError

    try:
        state = replay(folder.events())
    except JournalError as error:
        return {"run": folder.id, "workflow": None, "status": "unreadable", "started": None, "seconds": None,
                "exit_code": None, "error": error.message, "incomplete": []}  # fmt: skip
    if not state.run:
        return {"run": folder.id, "workflow": None, "status": "not started", "started": None, "seconds": None,
                "exit_code": None, "error": None, "incomplete": []}  # fmt: skip
    return {
        "run": folder.id,
        "workflow": state.workflow,
        "status": current(folder, state),
        "started": iso(state.started),
        "seconds": round(state.ended - state.started, 3) if state.ended is not None else None,
        "exit_code": state.exit_code,
        "error": state.failure.message if state.failure is not None else None,
        "incomplete": [each.document() for each in incomplete.of_run(state)],
    }
