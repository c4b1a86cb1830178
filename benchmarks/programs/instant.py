"""v6flow's command line with organizations that answer at once, in memory: what its engine and journal cost.

instant.py LAST COMMITS ARGUMENT…: a task run after so many ends the process as if it were killed, before it is
asked for. COMMITS is a file for how many events each commit has, and whether it is durable; `-`: none.
"""

import json
import os
import sys
from pathlib import Path

from v6flow.backends.base import Accepted, Answered
from v6flow.backends.embedded.access import EmbeddedAccess
from v6flow.cli.main import main
from v6flow.stores.folder.sqlite import SqliteJournal

last, commits, *arguments = sys.argv[1:]
asked = 0
counted = []


class Instant:
    """Answers as the algorithm `bench_count` does."""

    def __init__(self, federation):
        self.directory = federation.directory

    def open(self, emit):
        self.emit = emit

    def submit(self, request, *, again):  # noqa: ARG002 - a name of the protocol
        global asked  # noqa: PLW0603 - a program of one run
        self.emit(Accepted(request.token, "task"))
        for organization, kwargs in request.kwargs.items():
            asked += 1
            if asked > int(last):
                os._exit(0)
            body = json.dumps({"n": 1, "parity": kwargs["state"] % 2}).encode()
            self.emit(Answered(request.token, organization, body))

    def look(self, token): ...

    def kill(self, token, organizations): ...

    def forget(self, token, organization): ...

    def close(self): ...


def append(journal, events, *, durable):
    counted.append((len(events), durable))
    write(journal, events, durable=durable)


EmbeddedAccess.backend = lambda federation, *_, **__: Instant(federation)
if commits != "-":
    write, SqliteJournal.append = SqliteJournal.append, append
code = main(arguments)
if commits != "-":
    Path(commits).write_text(json.dumps(counted))
sys.exit(code)
