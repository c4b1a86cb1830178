"""A child process for the tests of crashes: carries a run on, and kills itself with SIGKILL at a chosen point.

Usage: killing.py WORKFLOW FEDERATION STORE POINT, where POINT is `KIND:N:WHEN`: the Nth journal write (`journal`) or
submission (`submit`), `before` or `after` it is done. The run's id is printed first, as soon as the run is kept.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from v6flow import loading
from v6flow.backends.embedded.backend import EmbeddedBackend
from v6flow.reporters.base import Silent
from v6flow.runs.starting import start
from v6flow.stores.folder.store import FolderStore


class Killer:
    """Ends this process at one point among many."""

    def __init__(self, point: str) -> None:
        kind, number, self.when = point.split(":")
        self.kind, self.left = kind, int(number)

    def reached(self, kind: str, when: str) -> None:
        if kind != self.kind:
            return
        if when == "before":
            self.left -= 1
        if self.left == 0 and when == self.when:
            os.kill(os.getpid(), signal.SIGKILL)


class KillingJournal:
    """A journal that tells the killer before and after each write."""

    def __init__(self, journal: Any, killer: Killer) -> None:
        self._journal = journal
        self._killer = killer

    def append(self, events: Any, *, durable: bool) -> None:
        self._killer.reached("journal", "before")
        self._journal.append(events, durable=durable)
        self._killer.reached("journal", "after")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


def main(workflow_file: str, federation_file: str, store: str, point: str) -> int:
    killer = Killer(point)
    workflow = loading.read_workflow(workflow_file)
    federation = loading.read_federation(federation_file)
    run = start(workflow, {}, federation, FolderStore(Path(store)), folder=Path(workflow_file).parent)
    sys.stdout.write(run.opened.stored.id + "\n")
    sys.stdout.flush()
    run.opened.journal = KillingJournal(run.opened.journal, killer)
    submit = EmbeddedBackend.submit

    def killing_submit(self: EmbeddedBackend, request: Any, *, again: bool) -> None:
        killer.reached("submit", "before")
        submit(self, request, again=again)
        killer.reached("submit", "after")

    EmbeddedBackend.submit = killing_submit  # type: ignore[method-assign]
    state = run.carry_on(Silent())
    run.opened.close()
    sys.stdout.write(f"{state.status}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
