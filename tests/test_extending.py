"""The examples of docs/extending.md, run as they are written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import installing

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")

_FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"prints:\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text from a heading of the second level to the next one."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("title", "project"), [("A backend", "tables-backend")])
def test_an_example_works_as_written(title: str, project: str, tmp_path: Path) -> None:
    text = section(title)
    for name, content in _FILE.findall(text):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
        if file.suffix == ".py":
            (file.parent / "__init__.py").touch()
    installing.install(tmp_path / project, tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT / "runner")])
    known = {key: value for key, value in os.environ.items() if not key.startswith("V6FLOW_")}
    (commands,) = _COMMANDS.findall(text)
    for command in commands.splitlines():
        program, *words = shlex.split(command)
        assert program == "v6flow"
        done = subprocess.run(
            [sys.executable, "-m", program, *words],
            cwd=tmp_path,
            env={**known, "PYTHONPATH": path},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == _PRINTED.findall(text)[0]
