"""Cancel a run: stop its open work, here and at a server. A cancelled run cannot be resumed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    common.run_id(parser)
    common.federation(parser)
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import actor
    from v6flow.cli import show
    from v6flow.core.views.documents import Cancelled
    from v6flow.errors import UnreachableError, UsageError
    from v6flow.reporters import prose
    from v6flow.runs.cancel import cancel
    from v6flow.runs.opened import open_or_post
    from v6flow.stores.base import CancelRequest, Holder

    folder = common.open_store(arguments).find(arguments.run)
    who = actor.here()
    opened = open_or_post(folder, lambda: CancelRequest(who.by, time.time(), who.via))
    if isinstance(opened, Holder):
        if arguments.output == "json":
            show.write(Cancelled(folder.id, "cancelling", opened.pid).as_json())
        else:
            show.lines([f"requested cancellation of run {folder.id} from {opened}"])
            if opened.stopped:
                show.lines(["its process is stopped (suspended), and cancels the run when it continues"])
        return 0
    with opened:
        if opened.state.over:
            fate = "was cancelled" if opened.state.status == "cancelled" else f"has {opened.state.status}"
            raise UsageError(f"run {folder.id} is over: it {fate}", hint="there is nothing left to cancel")
        try:
            notes = cancel(opened, arguments.federation)
        except UnreachableError as error:
            command = prose.command("cancel", folder.id, store=arguments.store or "")
            again = f"its open tasks at the server keep running; {command} tries again"
            raise UnreachableError(f"run {folder.id} is not cancelled: {error.message}", hint=again) from error
    if arguments.output == "json":
        show.write(Cancelled(folder.id, opened.state.status, None, tuple(notes)).as_json())
    else:
        message = f"cancelled run {folder.id}"
        if opened.state.status != "cancelled":  # only its `finally` steps were: the run had ended before
            message = f"run {folder.id} {opened.state.status}; its remaining `finally` steps were cancelled"
        show.lines([*(f"note: {note}" for note in notes), message])
    return 0
