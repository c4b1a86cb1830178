"""`v6flow completion`: scripts that shells accept and that know all commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_stage import (
    call,
)

from v6flow.cli.commands import COMMANDS
from v6flow.stores.folder.store import FolderStore

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_a_script_knows_all_commands(shell: str, here: Path, capsys: Capture) -> None:
    said = call(capsys, "completion", shell)
    assert (said.code, said.err) == (0, "")
    assert all(command in said.out for command in COMMANDS)
    assert "retry-failed" in said.out
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


def completions(shell: str, words: str, here: Path, capsys: Capture) -> list[str]:
    """What a shell offers for the last word of a line."""
    script = here / f"completion.{shell}"
    script.write_text(call(capsys, "completion", shell).out)
    ask = {
        "bash": f"source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_v6flow;"
                ' printf "%s\\n" "${COMPREPLY[@]}"',
        "fish": f"source {script}; complete -C '{words}'",
    }  # fmt: skip
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(here)}
    said = subprocess.run([shell, "-c", ask[shell]], text=True, capture_output=True, check=True, env=environment)
    assert said.stderr == ""
    return [line.split("\t")[0] for line in said.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_runs_steps_and_gates_are_completed(shell: str, here: Path, capsys: Capture) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (here / "w.yaml").write_text("""
v6flow: 1
steps:
  first: {local: {value: 1}}
  second: {local: {value: 2}}
  asked: {gate: {message: m}}
""")
    assert call(capsys, "run", "w.yaml", "--quiet", "--store", "kept").code == 6
    (run,) = FolderStore(here / "kept").runs()
    assert completions(shell, "v6flow resume --store kept w", here, capsys) == [run]
    assert completions(shell, f"v6flow logs --store kept {run} s", here, capsys) == ["second"]
    assert completions(shell, f"v6flow approve --store kept {run} a", here, capsys) == ["asked"]
    assert completions(shell, "v6flow resume --store nowhere w", here, capsys) == []


@pytest.mark.parametrize(
    "words", [("--store", "'my runs'"), ("--store", '"my runs"'), ("--store", "my\\ runs"), ("--store='my runs'",)]
)
def test_a_store_may_be_quoted_as_bash_hands_it_on(words: tuple[str, ...], here: Path, capsys: Capture) -> None:
    (here / "w.yaml").write_text("v6flow: 1\nsteps: {first: {local: {value: 1}}}\n")
    assert call(capsys, "run", "w.yaml", "--quiet", "--store", "my runs").code == 0
    (run,) = FolderStore(here / "my runs").runs()
    said = call(capsys, "completion", "--candidates", "runs", "v6flow", "resume", *words)
    assert (said.code, said.out, said.err) == (0, f"{run}\n", "")


def test_zsh_completes_runs(here: Path, capsys: Capture) -> None:
    """In a terminal of its own, since zsh completes nowhere else."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    (here / "w.yaml").write_text("v6flow: 1\nsteps: {first: {local: {value: 1}}}\n")
    assert call(capsys, "run", "w.yaml", "--quiet", "--store", "kept").code == 0
    (run,) = FolderStore(here / "kept").runs()
    (here / "_v6flow").write_text(call(capsys, "completion", "zsh").out)
    (here / "ask.zsh").write_text("""
zmodload zsh/zpty
zpty sh 'PS1="READY " zsh -f -i'
zpty -r sh line '*READY *'
zpty -w sh 'fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; PS1="SET "'
zpty -r sh line '*SET *'
zpty -w -n sh $'v6flow resume --store kept w\t'
zpty -r sh line '*kept w-*-*-????'
print -r -- $line
""")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    said = subprocess.run(
        ["zsh", "-f", "ask.zsh"], cwd=here, env=environment, text=True, capture_output=True, check=True, timeout=60
    )
    assert run in said.stdout


def test_a_shell_must_be_named(capsys: Capture) -> None:
    assert call(capsys, "completion").code == 2
    assert call(capsys, "completion", "csh").code == 2
