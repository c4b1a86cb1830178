"""Who acts on a run, and from where."""

from __future__ import annotations

import os
import pwd
import sys

import pytest

from v6flow import actor


class Terminal:
    """A stream that says that it is a terminal, or not."""

    def __init__(self, *, yes: bool, closed: bool = False) -> None:
        self.yes, self.closed = yes, closed

    def isatty(self) -> bool:
        assert not self.closed
        return self.yes


@pytest.fixture(autouse=True)
def no_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", Terminal(yes=True, closed=True))


def test_the_user_is_that_of_the_system_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody else")
    monkeypatch.setenv("LOGNAME", "somebody else")
    assert actor.here(environment={}).by == pwd.getpwuid(os.getuid()).pw_name


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987654321)
    assert actor.user() == "user 987654321"


@pytest.mark.parametrize(
    ("environment", "python", "via"),
    [
        ({}, False, "script"),
        ({}, True, "Python"),
        ({"CI": "true"}, True, "CI"),
        ({"CI": "true", "GITHUB_ACTIONS": "true"}, False, "GitHub Actions"),
        ({"AIRFLOW_CTX_DAG_ID": "nightly"}, True, "Airflow"),
        ({"CI": ""}, False, "script"),
    ],
)
def test_from_where(environment: dict[str, str], python: bool, via: str) -> None:
    assert actor.here(python=python, environment=environment).via == via


def test_a_person_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(yes=True))
    assert actor.here(environment={}).via == "terminal"
    monkeypatch.setattr(sys, "stdin", Terminal(yes=False))
    assert actor.here(environment={}).via == "script"
