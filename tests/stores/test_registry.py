"""Which store a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from v6flow.errors import UsageError
from v6flow.stores.memory import MemoryStore
from v6flow.stores.registry import STORES, open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_the_store_is_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("V6FLOW_STORE", "")
    assert open_store().name == str(tmp_path / ".v6flow")
    monkeypatch.setenv("V6FLOW_STORE", "elsewhere")
    assert open_store().name == str(tmp_path / "elsewhere")
    assert open_store("/here").name == "/here"


def test_a_scheme_names_a_kind_of_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(f"folder:{tmp_path}").name == str(tmp_path)
    assert open_store("memory:a") is open_store("memory:a") is not open_store("memory:b")
    assert open_store("no-scheme:a").name == str(tmp_path / "no-scheme:a")
    monkeypatch.setitem(STORES, "toy", MemoryStore)
    assert open_store("toy:a").name == "memory:a"


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="the current folder is gone"):
        open_store("runs")
    assert open_store("/here").name == "/here"
