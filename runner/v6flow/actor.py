"""Who acts on a run, and from where, for its record."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYSTEMS = {
    "AIRFLOW_CTX_DAG_ID": "Airflow",
    "GITHUB_ACTIONS": "GitHub Actions",
    "GITLAB_CI": "GitLab CI",
    "JENKINS_URL": "Jenkins",
    "PREFECT__FLOW_RUN_ID": "Prefect",
    "CI": "CI",
}
"""What each system that runs jobs sets in the environment of a job, the most telling first."""


class Actor(Struct, frozen=True):
    """Who acts: `by` is the system's user, `via` what the action came from (`terminal`, `script`, `Python`, …)."""

    by: str
    via: str


def here(*, python: bool = False, environment: Mapping[str, str] = os.environ) -> Actor:
    """Who runs this program, and from where; `python` if it was called from a Python program."""
    return Actor(user(), _via(environment, python=python))


def user() -> str:
    """The name of the system's user who runs this program, whatever the environment says."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # no such names on this system, or none for this number
        return f"user {os.getuid()}" if hasattr(os, "getuid") else os.getlogin()


def _via(environment: Mapping[str, str], *, python: bool) -> str:
    found = next((name for variable, name in _SYSTEMS.items() if environment.get(variable)), None)
    if found is not None:
        return found
    if python:
        return "Python"
    return "terminal" if _is_terminal() else "script"


def _is_terminal() -> bool:
    """Whether a person sits at one of the program's streams; a stream may be closed, or be none."""
    open_ = (stream for stream in (sys.stdin, sys.stderr) if stream is not None and not stream.closed)
    return any(stream.isatty() for stream in open_)
