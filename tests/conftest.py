"""Settings and fixtures for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "live"))
pytest_plugins = ["live_fixtures"]

settings.register_profile("patient", deadline=None)  # a busy machine is no failing test
settings.load_profile("patient")
