"""v6flow runs chains of vantage6 tasks from a YAML file: ordered, journalled, resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.version import __version__

if TYPE_CHECKING:
    from v6flow.api import Cohort, Result, RunFailedError, load, resume, run
    from v6flow.errors import InterruptedRunError, TerminatedRunError, V6flowError

__all__ = [
    "Cohort",
    "Incomplete",
    "InterruptedRunError",
    "Result",
    "RunFailedError",
    "TerminatedRunError",
    "V6flowError",
    "__version__",
    "load",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used, so that commands do not pay for it."""
    if name in ("InterruptedRunError", "TerminatedRunError", "V6flowError"):
        from v6flow import errors

        return getattr(errors, name)
    if name in __all__:
        from v6flow import api

        return getattr(api, name)
    raise AttributeError(f"module 'v6flow' has no attribute {name!r}")
