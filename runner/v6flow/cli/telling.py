"""The reporter for the kind of stderr: a terminal or a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from v6flow.reporters.base import Reporter
    from v6flow.runs.active import ActiveRun


def reporter(run: ActiveRun, arguments: argparse.Namespace) -> Reporter:
    """The reporter for the kind of stderr: a terminal or a pipe."""
    import os

    from v6flow.reporters.base import Silent
    from v6flow.reporters.terminal import moves

    if arguments.quiet:
        return Silent()
    kept = run.opened.stored.place
    if moves(sys.stderr, os.environ):
        from v6flow.reporters.live import Live

        return Live(sys.stderr, kept=kept, store=arguments.store or "", now=run.clock.now)
    from v6flow.reporters.lines import Lines

    return Lines(sys.stderr, kept=kept, store=arguments.store or "")
