"""Wait for a run in another process, and exit with the exit code of the run.

Prints what the run itself would print: its outputs or, with --output json, its document.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser

LOOK = 0.2  # seconds between checks whether a process holds the run


def configure(parser: Parser) -> None:
    common.run_id(parser, "the newest")
    parser.add_argument("--timeout", metavar="DURATION", help="stop waiting after this time, like 2h; exit with 124")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from msgspec.structs import replace

    from v6flow.cli import show
    from v6flow.cli.run import conclude, finish
    from v6flow.cli.status import current
    from v6flow.core.execution.state import replay
    from v6flow.core.views.summary import of_run
    from v6flow.reporters import prose

    folder = common.open_store(arguments).find(arguments.run)
    patience = common.duration("--timeout", arguments.timeout)
    began = time.monotonic()
    while folder.holder() is not None:
        if patience is not None and time.monotonic() - began >= patience:
            show.lines([f"run {folder.id} is still running after {arguments.timeout}"])
            return 124
        time.sleep(LOOK)
    state = replay(folder.events())
    status = current(folder, state)
    if status == "interrupted" and state.status == "running":  # its process was killed and could not write anything
        if arguments.output == "json":
            show.write(replace(of_run(state, status=status), exit_code=1).as_json())
        resume = prose.resume_command(folder.id, arguments.store or "")
        show.error(f"no process works on run {folder.id}, and it is not finished", f"{resume} resumes it")
        return 1
    conclude(state, arguments)
    return finish(state, arguments)
