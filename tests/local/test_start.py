"""The program that a local step's process begins with: it is compiled once, and keeps no name from a workflow."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from v6flow.core.execution.commands import LocalRequest
from v6flow.local import process
from v6flow.local.base import AttemptAnswered, LocalReport
from v6flow.local.runner import ChildRunner

PATIENCE = 60.0  # seconds until a test that waits has failed


def test_the_bytecode_of_what_runs_is_kept(tmp_path: Path) -> None:
    for name in ("start.py", "supervisor.py", "worker.py"):
        shutil.copy(Path(process.__file__).with_name(name), tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, str(tmp_path / "start.py"), "supervise", str(tmp_path / "nothing")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert f'File "{tmp_path / "worker.py"}"' in done.stderr
    kept = {path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()}
    assert kept == {"supervisor", "worker"}


@pytest.mark.parametrize("cold", [False, True])
def test_a_workflow_has_modules_of_the_same_names(tmp_path: Path, *, cold: bool) -> None:
    for name in ("worker", "start"):
        (tmp_path / f"{name}.py").write_text(f"def said():\n    return '{name}'\n")
    (tmp_path / "steps.py").write_text(
        "import __main__, worker, start\n\ndef f():\n    return [worker.said(), start.said(), __main__.__file__]\n"
    )
    reports: queue.Queue[LocalReport] = queue.Queue()
    runner = ChildRunner(jobs=1, cold=cold)
    runner.open(reports.put)
    try:
        runner.start(LocalRequest("step", 1, str(tmp_path), "steps.py:f"))
        report = reports.get(timeout=PATIENCE)
    finally:
        runner.close()
    assert isinstance(report, AttemptAnswered)
    assert json.loads(report.body) == ["worker", "start", str(Path(process.__file__).with_name("start.py"))]
