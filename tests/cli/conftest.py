"""The folder in which the tests of commands use v6flow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="here", autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which the command line is used, with no settings from outside."""
    for name in [*os.environ]:
        if name.startswith("V6FLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "runner"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
