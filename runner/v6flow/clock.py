"""The clock of a run: UTC, unmoved by jumps of the system's time, counting suspend."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Within one process it never goes back."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class SystemClock:
    """UTC as it was at the start of this process, carried on by a clock that counts suspend."""

    def __init__(self) -> None:
        self._offset = time.time() - _elapsed()

    def now(self) -> float:
        return self._offset + _elapsed()


def _elapsed() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock is the best there is
    return time.clock_gettime(boottime) if boottime is not None else time.monotonic()
