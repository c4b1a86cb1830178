"""The command line with shorter waits, that kills itself with SIGKILL at a chosen point.

Usage: killing_live.py POINT WORDS…, where POINT is `none` or `KIND:N:WHEN`: the Nth journal write (KIND `journal`) or
the Nth request of a kind (as `POST /task`; numbers in its path are written `#`), `before` or `after` it is done, or
`amid`: a moment after it is sent.

Without words it imports everything once, and then forks for each line on stdin, [folder, out, err, point, *words] in
JSON; it answers by a line with the exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from v6flow.backends.vantage6 import backend
from v6flow.backends.vantage6.backoff import Times
from v6flow.backends.vantage6.transport import Transport
from v6flow.cli.main import main
from v6flow.stores.folder.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Callable

AMID = 0.01  # seconds; a server takes 40 ms to make a task
QUICK = Times(ladder=(0.05, 0.3, 0.8), last_look=1.0)
"""A task was visible at most 0.15 s after its request was sent."""


class Killer:
    """Ends this process at one point among many; any thread may reach it."""

    def __init__(self, point: str) -> None:
        kind, number, self._when = point.split(":") if point != "none" else ("", "0", "")
        self._kind, self._left = kind, int(number)
        self._lock = threading.Lock()

    def __call__(self, kind: str, act: Callable[[], Any]) -> Any:
        if kind != self._kind:
            return act()
        with self._lock:
            self._left -= 1
            here = self._left == 0
        if here and self._when == "before":
            die()
        if here and self._when == "amid":
            threading.Timer(AMID, die).start()
        done = act()
        if here and self._when == "after":
            die()
        return done


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kind_of(request: Any) -> str:
    return f"{request.method} {re.sub(r'[0-9]+', '#', request.path)}"


def prepare(point: str) -> None:
    """Have everything pass by the killer, and wait for less."""
    killer = Killer(point)
    append, once = SqliteJournal.append, Transport._once

    def killing_append(self: SqliteJournal, events: Any, *, durable: bool) -> None:
        killer("journal", partial(append, self, events, durable=durable))

    def killing_once(self: Transport, request: Any) -> Any:
        return killer(kind_of(request), partial(once, self, request))

    SqliteJournal.append = killing_append  # type: ignore[method-assign]
    Transport._once = killing_once  # type: ignore[method-assign]
    vars(backend)["Times"] = lambda: QUICK


def child(folder: str, out: str, err: str, point: str, *words: str) -> int:
    """The command line in a folder, with its output in files."""
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    prepare(point)
    return main(words)


def serve() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = 70
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                code = child(*json.loads(line))
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


IMPORTED = (
    "socketio",
    "v6flow.backends.vantage6.access",
    "v6flow.backends.vantage6.checkup",
    "v6flow.cli.resume",
    "v6flow.cli.run",
    "v6flow.cli.show",
    "v6flow.core.language.schema",
    "v6flow.engine",
    "v6flow.local.runner",
    "v6flow.reporters.lines",
    "v6flow.runs.detach",
    "v6flow.runs.resume",
    "v6flow.runs.starting",
    "v6flow.stores.registry",
)
"""What commands import when they use it, and would else import anew in each fork."""


if __name__ == "__main__":
    if sys.argv[1:]:
        prepare(sys.argv[1])
        sys.exit(main(sys.argv[2:]))
    serve()
