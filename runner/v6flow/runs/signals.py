"""What the signals of the system mean to a run that is being worked on."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.engine import Engine


class Signals(Struct):
    """Ctrl-C and SIGTERM interrupt the run, which can be resumed; a second one counts at once.

    What was ignored before stays so: `nohup` means that nothing happens when the terminal goes. Python hands signals
    to the main thread only, so a run in another thread leaves them to the program.
    """

    kill: bool = False
    """Whether what the run has open is killed when a person interrupts it."""
    exit_on_second: bool = False
    """Whether a second signal ends the process at once; else it does what it did before the run."""
    first: int | None = None
    """The first signal that asked for the end of the work; the run may have been over by then."""

    @contextmanager
    def heard_by(self, engine: Engine) -> Iterator[None]:
        """While the context lasts, signals interrupt an engine."""
        before: dict[int, Any] = {}

        def stop(number: int, frame: object) -> None:
            if self.first is None:
                self.first = number
                engine.interrupt(terminate=number != signal.SIGINT, kill=self.kill)
                return
            handler = before.get(number)
            if callable(handler) and not self.exit_on_second:
                handler(number, frame)
                return
            _show_cursor()
            os._exit(128 + number)

        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(each) != signal.SIG_IGN:
                    before[each] = signal.signal(each, stop)
        try:
            yield
        finally:
            for known, handler in before.items():
                signal.signal(known, handler if handler is not None else signal.SIG_DFL)


def _show_cursor() -> None:
    """Give the terminal back its cursor, which a reporter that is not closed may have hidden."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, b"\x1b[?25h")
