"""Show the state of a run: its steps, its outputs or failure, and what it waits for. Without RUN: the newest run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.execution.state import RunState
    from v6flow.stores.base import StoredRun


def configure(parser: Parser) -> None:
    common.run_id(parser, "the newest")
    common.store(parser)
    parser.add_argument("--timeline", action="store_true", help="also show who waited and worked when")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from msgspec.structs import replace

    from v6flow.cli import show
    from v6flow.core.execution.state import replay
    from v6flow.core.views.summary import of_run
    from v6flow.core.views.timeline import TimedRun, timeline
    from v6flow.errors import UsageError
    from v6flow.reporters import bars, prose

    folder = common.open_store(arguments).find(arguments.run)
    events = list(folder.events())
    state = replay(events)
    status = current(folder, state)
    if not state.run and status == "interrupted":
        raise UsageError(f"run {folder.id} ended before its first journal entry", hint="start a new run")
    steps = list(state.pinned.steps)
    times = timeline(events, time.time(), status) if arguments.timeline and state.run else None
    if arguments.output == "json":
        run = of_run(state, status=status)
        show.write(TimedRun(run if state.over else replace(run, exit_code=None), times).as_json())
        return 0
    show.lines([f"run {folder.id} of {state.workflow or folder.id}: {status}"])
    show.lines([*([prose.started(state)] if state.run else []), prose.table(state, steps)])
    show.lines(bars.bars(times) if times is not None else [])
    show.lines([*prose.incomplete_section(state), *prose.waiting_text(state, arguments.store or "")])
    if state.status == "completed":
        show.outputs(state.outputs)
    elif state.failure is not None:
        show.lines(prose.failure_text(state, arguments.store or ""))
    elif status == "interrupted":
        show.lines([f"{prose.resume_command(folder.id, arguments.store or '')} resumes it"])
    return 0


def current(folder: StoredRun, state: RunState) -> str:
    """The status of a run; a running one that no process holds is interrupted."""
    if state.status == "running" and folder.holder() is None:
        return "interrupted"
    return state.status
