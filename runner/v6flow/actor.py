"""The user and program that act on a run, for its record."""

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
"""The environment variable that each job system sets, most specific first."""


class Actor(Struct, frozen=True):
    """The actor: `by` is the system's user, `via` the origin of the action (`terminal`, `script`, `Python`, …)."""

    by: str
    via: str


def here(*, python: bool = False, environment: Mapping[str, str] = os.environ) -> Actor:
    """The actor that runs this program; `python` if a Python program called it."""
    return Actor(user(), _via(environment, python=python))


def user() -> str:
    """The name of the system's user who runs this program, independent of the environment."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # the system has no user names, or none for this id
        return f"user {os.getuid()}" if hasattr(os, "getuid") else os.getlogin()


def _via(environment: Mapping[str, str], *, python: bool) -> str:
    found = next((name for variable, name in _SYSTEMS.items() if environment.get(variable)), None)
    if found is not None:
        return found
    if python:
        return "Python"
    return "terminal" if _is_terminal() else "script"


def _is_terminal() -> bool:
    """Whether one of the program's streams is a terminal; a stream may be closed or None."""
    open_ = (stream for stream in (sys.stdin, sys.stderr) if stream is not None and not stream.closed)
    return any(stream.isatty() for stream in open_)
