"""Settings and fixtures for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "live"), str(HERE / "backends" / "vantage6")]
pytest_plugins = ["live_fixtures"]

settings.register_profile("patient", deadline=None)  # a busy machine is no failing test
settings.load_profile("patient")
