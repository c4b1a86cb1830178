"""Resume a run that was interrupted, or that waited for a person's decision.

An organization whose answer or failure is in the journal is not asked again. A failed run prints its failure and exits
with 1; with --retry-failed only the failed and missing organizations are asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.cli.run import carry_on, conclude, finish

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.stores.base import RunStore, StoredRun


def configure(parser: Parser) -> None:
    common.run_id(parser, "the only unfinished one")
    parser.add_argument("--retry-failed", action="store_true", help="ask failed and missing organizations again")
    parser.add_argument(
        "--deadline", metavar="DURATION", help="limit for the run from now on, instead of its own deadline"
    )
    parser.add_argument(
        "--resubmit",
        metavar="STEP[/ORGANIZATION]",
        action="append",
        default=[],
        help="send a task again whose submission had no clear result; first make sure that it is not at the server",
    )
    common.on_interrupt(parser)
    common.federation(parser)
    common.store(parser)
    common.output(parser)
    common.progress(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.errors import ResumeError
    from v6flow.runs.opened import open_run
    from v6flow.runs.pinning import pinned_federation
    from v6flow.runs.resume import resume

    folder = _pick(common.open_store(arguments), arguments)
    with open_run(folder) as opened:
        state = opened.state
        if state.status == "cancelled":
            raise ResumeError(f"run {folder.id} was cancelled", hint="start a new run")
        if state.status == "completed" or (state.status == "failed" and not arguments.retry_failed):
            conclude(state, arguments)
            return finish(state, arguments)
        with show.while_waiting(pinned_federation(state.pinned, arguments.federation) if state.run else None):
            run = resume(
                opened,
                retry_failed=arguments.retry_failed,
                resubmit=arguments.resubmit,
                federation_file=arguments.federation,
                deadline=common.duration("--deadline", arguments.deadline),
                jobs=arguments.jobs,
            )
        return carry_on(run, arguments)


def _pick(store: RunStore, arguments: argparse.Namespace) -> StoredRun:
    """The named run, else the only unfinished one (with --retry-failed also a failed one).

    A run that another process works on counts only if there is no other.
    """
    from v6flow.errors import UsageError
    from v6flow.reporters import prose

    if arguments.run is not None:
        return store.find(arguments.run)
    unfinished = ("running", "interrupted", "waiting")
    wanted = (*unfinished, "failed") if arguments.retry_failed else unfinished
    open_ = [folder for folder in map(store.find, store.runs()) if _status(folder) in wanted]
    found = [folder for folder in open_ if folder.holder() is None] or open_
    if len(found) == 1:
        return found[0]
    what = "failed or unfinished" if arguments.retry_failed else "unfinished"
    if not found:
        shown = prose.command("list", store=arguments.store or "")
        raise UsageError(f"no {what} run in {store.name}", hint=f"{shown} lists the runs")
    ids = ", ".join(folder.id for folder in found)
    one = prose.resume_command("RUN", arguments.store or "", retry=arguments.retry_failed)
    raise UsageError(f"several runs are {what}: {ids}", hint=f"name one: {one}")


def _status(folder: StoredRun) -> str | None:
    """The status of a run according to its journal; None if the journal is empty or damaged."""
    from v6flow.core.execution.state import replay
    from v6flow.errors import JournalError

    try:
        state = replay(folder.events())
    except JournalError:
        return None  # commands about this run report it
    return state.status if state.run else None
