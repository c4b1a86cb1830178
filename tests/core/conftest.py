"""Settings for all tests of the core."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("core", deadline=None)  # a busy machine is no failing test
settings.load_profile("core")
