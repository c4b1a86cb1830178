"""The clock of a run: UTC, unmoved by jumps of the system's time, counting suspend."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Within one process it never goes back."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class SystemClock:
    """UTC as it was when this was made, carried on by a clock that counts suspend."""

    def __init__(self) -> None:
        self._offset = time.time() - _elapsed()

    def now(self) -> float:
        return self._offset + _elapsed()


class LaterClock:
    """A clock put forward so that it starts from a moment at the earliest.

    A run that is taken up again does not go back behind what has happened, if the system's time did.
    """

    def __init__(self, clock: Clock, moment: float) -> None:
        self._clock = clock
        self._ahead = max(moment - clock.now(), 0.0)

    def now(self) -> float:
        return self._clock.now() + self._ahead


def _elapsed() -> float:
    # Linux stops CLOCK_MONOTONIC while it is suspended and has CLOCK_BOOTTIME; macOS goes on counting
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
