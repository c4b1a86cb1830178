"""A store that only these tests know, registered by one line: runs are made, listed, resumed and cancelled in it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
    run_ids,
    write,
)

from table_store import TableStore
from v6flow.core.execution.events import LocalRequested
from v6flow.runs.opened import open_or_post
from v6flow.stores.base import CancelRequest, Holder
from v6flow.stores.registry import STORES, open_store

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

GATED = """\
v6flow: 1
name: gated
steps:
  first: {local: {value: 40}}
  agreed: {gate: {message: "{{ steps.first.result }} so far"}}
  more: {needs: [agreed], local: {value: "{{ steps.first.result + 2 }}"}}
outputs: {more: "{{ steps.more.result }}"}
"""
WAITING = """\
v6flow: 1
name: waiting
steps:
  wait: {local: {command: [cat, gate]}}
outputs: {}
"""
CACHED = """\
v6flow: 1
name: cached
steps:
  a: {local: {command: [echo, "7"]}, cache: 1h}
outputs: {a: "{{ steps.a.result }}"}
"""


@pytest.fixture
def name(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(STORES, "table", TableStore)
    return f"table:{here / 'tables.sqlite'}"


def test_a_run_is_listed_decided_and_resumed(here: Path, name: str, capsys: Capture) -> None:
    write(here, gated_yaml=GATED)
    assert call(capsys, "list", "--store", name).err == "no runs found\n"
    assert call(capsys, "run", "gated.yaml", "--quiet", "--store", name).code == 6
    (run,) = open_store(name).runs()
    (listed,) = call(capsys, "list", "--store", name, "-o", "json").document["runs"]
    assert (listed["run"], listed["status"]) == (run, "waiting")
    assert call(capsys, "approve", "gated", "agreed", "--store", name).code == 0
    assert call(capsys, "resume", "--quiet", "--store", name).out == "more: 42\n"
    assert call(capsys, "status", "--store", name, "-o", "json").document["status"] == "completed"
    assert open_store(name).find().over
    assert run_ids(here) == []


def test_a_run_is_cancelled_while_it_waits(here: Path, name: str, capsys: Capture) -> None:
    write(here, gated_yaml=GATED)
    call(capsys, "run", "gated.yaml", "--quiet", "--store", name)
    assert call(capsys, "cancel", "gated", "--store", name).code == 0
    assert call(capsys, "status", "--store", name, "-o", "json").document["status"] == "cancelled"


def test_a_run_is_cancelled_while_it_is_worked_on(here: Path, name: str, capsys: Capture) -> None:
    write(here, waiting_yaml=WAITING)
    os.mkfifo(here / "gate")
    told = []

    def cancel() -> None:
        store = open_store(name)
        while not any(isinstance(each, LocalRequested) for run in store.runs() for each in store.open(run).events()):
            threading.Event().wait(0.01)
        told.append(open_or_post(store.find(), lambda: CancelRequest("anna")))

    thread = threading.Thread(target=cancel)
    thread.start()
    said = call(capsys, "run", "waiting.yaml", "-o", "json", "--quiet", "--store", name)
    thread.join()
    assert (said.code, said.document["status"]) == (1, "cancelled")
    (holder,) = told
    assert isinstance(holder, Holder)
    assert holder.pid == os.getpid()


def test_results_of_earlier_runs_are_found(here: Path, name: str, capsys: Capture) -> None:
    write(here, cached_yaml=CACHED)
    for _ in range(2):
        assert call(capsys, "run", "cached.yaml", "--quiet", "--store", name).out == "a: 7\n"
    first, second = reversed(open_store(name).runs())
    assert (
        call(capsys, "status", second, "--store", name, "-o", "json").document["steps"]["a"]["reused"]["run"] == first
    )
