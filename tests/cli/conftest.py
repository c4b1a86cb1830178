"""Every test of the command line works in an empty folder and knows no settings from outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command line is used."""
    for name in [*os.environ]:
        if name.startswith("V6FLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "runner"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
