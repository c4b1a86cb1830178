"""Cancel a run: what it has open, here and at a server, is ended, and it cannot be resumed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's id or the beginning of it")
    common.federation(parser)
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import actor, running
    from v6flow.cli import show
    from v6flow.errors import HeldError, UnreachableError, UsageError
    from v6flow.reporters import summary
    from v6flow.stores.folder.store import CancelRequest

    folder = common.open_store(arguments).find(arguments.run)
    held = None
    try:
        held = running.take(folder)
    except HeldError:
        who = actor.here()
        folder.request_cancel(CancelRequest(who.by, time.time(), who.via))
        holder = folder.signal_holder()
        if holder is not None:
            if arguments.output == "json":
                show.write({"run": folder.id, "status": "cancelling", "holder": holder.pid})
            else:
                show.lines([f"asked {holder} to cancel run {folder.id}"])
                if holder.stopped:
                    show.lines(["it is stopped, and cancels when it goes on"])
            return 0
        held = running.take(folder)  # it ended just now
    with held:
        if held.state.over:
            fate = "was cancelled" if held.state.status == "cancelled" else f"has {held.state.status}"
            raise UsageError(f"run {folder.id} is over: it {fate}", hint="there is nothing left to cancel")
        try:
            notes = running.cancel(held, arguments.federation)
        except UnreachableError as error:
            cancel = summary.command("cancel", folder.id, store=arguments.store or "")
            again = f"what it has open at the server goes on; {cancel} tries again"
            raise UnreachableError(f"run {folder.id} is not cancelled: {error.message}", hint=again) from error
    if arguments.output == "json":
        show.write({"run": folder.id, "status": held.state.status, "holder": None, "notes": notes})
    else:
        told = f"cancelled run {folder.id}"
        if held.state.status != "cancelled":  # only what stands under `finally` was: the run had ended before
            told = f"run {folder.id} {held.state.status}; what was still to be done is not"
        show.lines([*(f"note: {note}" for note in notes), told])
    return 0
