"""Cancel a run: what it has open is ended, and it cannot be resumed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's id or the beginning of it")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import running
    from v6flow.cli import show
    from v6flow.errors import HeldError, UsageError

    folder = common.open_store(arguments).find(arguments.run)
    held = None
    try:
        held = running.take(folder)
    except HeldError:
        folder.request_cancel("user", time.time())
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
            raise UsageError(f"run {folder.id} is over: it has {held.state.status}")
        running.cancel(held)
    if arguments.output == "json":
        show.write({"run": folder.id, "status": "cancelled", "holder": None})
    else:
        show.lines([f"cancelled run {folder.id}"])
    return 0
