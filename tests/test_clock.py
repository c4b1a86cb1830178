"""The clock of a run: jumps of the system's time, daylight saving and suspend move no deadline."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from v6flow.clock import LaterClock, SystemClock
from v6flow.core.planning.plan import iso

SUMMER_TIME_ENDS = 1792890000.0  # 2026-10-25T01:00:00Z


class Fixed:
    def __init__(self, moment: float) -> None:
        self.moment = moment

    def now(self) -> float:
        return self.moment


@pytest.mark.parametrize("jump", [-86400.0, -3600.0, 3600.0, 86400.0 * 365])
def test_a_jump_of_the_systems_time_does_not_move_the_clock(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    truth = time.time
    monkeypatch.setattr(time, "time", lambda: truth() + jump)
    assert 0 <= clock.now() - before < 60


def test_the_clock_counts_what_a_suspended_machine_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    truth = time.clock_gettime
    counting = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    monkeypatch.setattr(time, "clock_gettime", lambda which: truth(which) + (7200.0 if which == counting else 0.0))
    assert 7200 <= clock.now() - before < 7260


def test_a_resumed_run_never_goes_back_behind_what_has_happened() -> None:
    inner = Fixed(1000.0)
    clock = LaterClock(inner, 5000.0)
    assert clock.now() == 5000.0
    inner.moment += 10
    assert clock.now() == 5010.0
    assert LaterClock(Fixed(9000.0), 5000.0).now() == 9000.0


def test_moments_are_told_in_utc_across_the_end_of_summer_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    told = [iso(SUMMER_TIME_ENDS + hour * 3600) for hour in range(-2, 3)]
    assert told[2] == "2026-10-25T01:00:00Z"
    assert all(one < other for one, other in pairwise(told))
