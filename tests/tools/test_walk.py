"""The tool that counts the changes of file before a run's first submission."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_changes_of_file_before_the_first_submission_are_counted(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(PROJECT / "tools" / "walk.py"),
        "run",
        "workflows/average.yaml",
        "--store",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    summary, *pairs = [line for line in done.stderr.splitlines() if " changes of file " in line or " → " in line]
    changes, calls = int(summary.split()[0]), int(summary.split()[5])
    assert 0 < changes < calls
    assert any("cli/run.py" in pair for pair in pairs)
