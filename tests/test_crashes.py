"""A run that is killed at any moment and resumed ends like one that was not, and asks nobody twice."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

import v6flow
from v6flow.core.execution import events
from v6flow.core.planning.plan import token
from v6flow.stores.folder.store import FolderStore

pytest.importorskip("vantage6.algorithm.tools")

HERE = Path(__file__).parent

WORKFLOW = """\
v6flow: 1
name: killed
defaults: {image: probe}
steps:
  sums:
    task: {method: partial_sum, kwargs: {column: age}}
  mean:
    local:
      function: pool.py:mean
      kwargs: {parts: "{{ steps.sums.results }}"}
  again:
    task:
      method: echo
      kwargs: {value: "{{ [organization, steps.mean.result] }}"}
      organizations: "{{ steps.sums.responded }}"
outputs:
  mean: "{{ steps.mean.result }}"
  again: "{{ steps.again.results }}"
"""
POOL = """\
def mean(parts):
    return sum(part["sum"] for part in parts) / sum(part["count"] for part in parts)
"""
ORGANIZATIONS = ("alpha", "beta")
EXPECTED = {"mean": 30.0, "again": [["alpha", 30.0], ["beta", 30.0]]}

WRITES = 19  # how often the run below writes to its journal after its start
POINTS = [f"journal:{number}:{when}" for number in range(1, WRITES + 1) for when in ("before", "after")]
POINTS += [f"submit:{number}:{when}" for number in range(1, 5) for when in ("before", "after")]


@pytest.fixture(autouse=True)
def orphans_are_ours() -> None:
    """Processes whose parent was killed become children of this one, so that it can wait for their end."""
    if sys.platform != "linux":
        pytest.skip("orphans can be adopted on Linux only")
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


@pytest.fixture
def project(tmp_path: Path) -> Path:
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    for name, ages in zip(ORGANIZATIONS, ("10\n20\n", "40\n50\n"), strict=True):
        (tmp_path / f"{name}.csv").write_text(f"age\n{ages}")
        note = tmp_path / f"{name}.notes"
        note.touch()
        lines.append(f"  {name}: {{databases: {{default: {name}.csv}}, environment: {{NOTE_FILE: '{note}'}}}}")
    lines += ["algorithms:", f"  probe: {{package: v6_probe, path: '{HERE / 'algorithms'}'}}"]
    (tmp_path / "federation.yaml").write_text("\n".join(lines) + "\n")
    (tmp_path / "killed.yaml").write_text(WORKFLOW)
    (tmp_path / "pool.py").write_text(POOL)
    return tmp_path


def kill_at(point: str, project: Path) -> str:
    """Run in a child process that kills itself at a point; returns the id of the run."""
    words = [sys.executable, str(HERE / "killing.py"), "killed.yaml", "federation.yaml", "store", point]
    ours = set(psutil.Process().children(recursive=True))
    child = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == -9, child.stderr
    left = set(psutil.Process().children(recursive=True)) - ours
    assert not psutil.wait_procs(left, timeout=60)[1], "what a killed run leaves dies, soon"
    return child.stdout.split()[0]


def answered_before(project: Path, run: str) -> set[tuple[str, str]]:
    """Who had answered what when the run was killed: in the journal, or in the run's folder."""
    folder = FolderStore(project / "store").find(run)
    found = {(event.step, event.organization) for event in folder.events() if isinstance(event, events.TaskAnswered)}
    for step in ("sums", "again"):
        for organization in ORGANIZATIONS:
            name = token(run, step, (organization,), 1)
            if any(name in str(path) for path in (folder.scratch / "answers").rglob("answer")):
                found.add((step, organization))
    return found


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_resumes_to_the_same_end(point: str, project: Path) -> None:
    run = kill_at(point, project)
    answered = answered_before(project, run)
    before = {name: len((project / f"{name}.notes").read_text().splitlines()) for name in ORGANIZATIONS}

    result = v6flow.resume(run, store=project / "store")

    assert result.status == "completed"
    assert result.outputs == EXPECTED
    for name in ORGANIZATIONS:
        ran = len((project / f"{name}.notes").read_text().splitlines()) - before[name]
        unanswered = sum((step, name) not in answered for step in ("sums", "again"))
        assert ran <= unanswered, f"{name} ran again what it had answered"
    requested = Counter(
        (event.step, organization, event.attempt)
        for event in FolderStore(project / "store").find(run).events()
        if isinstance(event, events.TaskRequested)
        for organization in event.organizations
    )
    assert set(requested) == {(step, name, 1) for step in ("sums", "again") for name in ORGANIZATIONS}
    assert set(requested.values()) == {1}


def test_the_points_reach_to_the_end_of_the_run(project: Path) -> None:
    """If the run has come to write more often, or less, the points above are no longer the right ones."""
    for number, ended in ((WRITES, False), (WRITES + 1, True)):
        words = [sys.executable, str(HERE / "killing.py"), "killed.yaml", "federation.yaml", "store"]
        child = subprocess.run(
            [*words, f"journal:{number}:before"],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (child.stdout.split()[-1] == "completed") is ended, child.stderr
