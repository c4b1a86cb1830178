"""Settings and fixtures for all tests."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "live"), str(HERE / "backends" / "vantage6")]
pytest_plugins = ["live_fixtures"]

# `nohup make test &` starts this process with these ignored, and what a test starts would inherit that
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL),
                        (signal.SIGHUP, signal.SIG_DFL)):  # fmt: skip
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

settings.register_profile("patient", deadline=None)  # a busy machine is no failing test
settings.load_profile("patient")
