"""`v6flow completion`: scripts that shells accept and that know all commands."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
)

from v6flow.cli.commands import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_knows_all_commands(shell: str, here: Path, capsys: Capture) -> None:
    said = call(capsys, "completion", shell)
    assert (said.code, said.err) == (0, "")
    assert all(command in said.out for command in COMMANDS)
    assert "--retry-failed" in said.out or shell == "tcsh"
    if shell != "tcsh" and shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=said.out, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_commands_and_options(here: Path, capsys: Capture) -> None:
    script = here / "completion.bash"
    script.write_text(call(capsys, "completion", "bash").out)
    asked = (
        f"source {script}; COMP_WORDS=(v6flow res); COMP_CWORD=1; _shtab_v6flow; echo ${{COMPREPLY[@]}};"
        "COMP_WORDS=(v6flow resume --retry); COMP_CWORD=2; _shtab_v6flow; echo ${COMPREPLY[@]}"
    )
    said = subprocess.run(["bash", "-c", asked], text=True, capture_output=True, check=True)
    assert said.stdout.split() == ["resume", "--retry-failed"]


def test_a_shell_must_be_named(capsys: Capture) -> None:
    assert call(capsys, "completion").code == 2
    assert call(capsys, "completion", "fish").code == 2
