"""The clock of a run: UTC, unaffected by jumps of the system's time, and counting suspended time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Returns the time. Within one process it never goes back."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class SystemClock:
    """UTC at creation, advanced by a monotonic clock that counts suspended time."""

    def __init__(self) -> None:
        self._offset = time.time() - _elapsed()

    def now(self) -> float:
        return self._offset + _elapsed()


class LaterClock:
    """A clock moved forward so that it starts no earlier than a given moment.

    The time of a resumed run does not go back before its last event, even if the system's time did.
    """

    def __init__(self, clock: Clock, moment: float) -> None:
        self._clock = clock
        self._ahead = max(moment - clock.now(), 0.0)

    def now(self) -> float:
        return self._clock.now() + self._ahead


def _elapsed() -> float:
    # Linux stops CLOCK_MONOTONIC during suspend and has CLOCK_BOOTTIME; macOS continues counting
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
