"""List the runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.cli.status import current

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.views.summary import Entry
    from v6flow.stores.base import StoredRun


def configure(parser: Parser) -> None:
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.language.units import spell
    from v6flow.core.views.base import as_json

    store = common.open_store(arguments)
    runs = [_entry(store.find(name)) for name in store.runs()]
    if arguments.output == "json":
        show.write({"runs": as_json(runs)})
        return 0
    if not runs:
        show.lines(["no runs found"])
        return 0
    width = max(len(run.run) for run in runs)
    for run in runs:
        took = spell(run.seconds) if run.seconds is not None else ""
        less = "incomplete" if run.lacks else ""
        cells = f"{run.run:<{width}}  {run.status:<11}  {run.started or '':<20}  {took:<7}  {less}"
        show.data(cells.rstrip() + "\n")
    return 0


def _entry(folder: StoredRun) -> Entry:
    from v6flow.core.execution.state import replay
    from v6flow.core.views.summary import Entry, entry
    from v6flow.errors import JournalError

    try:
        state = replay(folder.events())
    except JournalError as error:
        return Entry(folder.id, None, "unreadable", None, None, None, error.message, ())
    if not state.run:
        return Entry(folder.id, None, "not started", None, None, None, None, ())
    return entry(state, current(folder, state))
