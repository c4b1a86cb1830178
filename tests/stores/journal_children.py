"""Child processes that write journals and hold runs, for the tests beside this file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from v6flow.core.execution.events import TaskAnswered

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.execution.events import Event

_PRELUDE = """
import encodings.ascii, os, resource, shutil, signal, sqlite3, sys, tempfile, urllib.parse
from pathlib import Path
from journal_children import answered, step_down
from v6flow.errors import *
from v6flow.stores.folder import rows
from v6flow.stores.folder.rows import *
from v6flow.stores.folder.sqlite import *
from v6flow.stores.base import *
from v6flow.stores.folder.store import *
def say(*words): print(*words, flush=True)
folder = Path(sys.argv[1])
"""
NOBODY = 65534


def answered(number: int) -> Event:
    """The event with a number."""
    return TaskAnswered(float(number), "partial", f"org{number}", 1, {"n": number, "sum": number / 3})


def spawn(code: str, folder: Path, *, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start Python code; it has `folder` and `say`, which prints a line at once."""
    variables = {**(os.environ if env is None else env), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    )


def finish(child: subprocess.Popen[str]) -> list[str]:
    """Let a child end; the lines that it printed."""
    output, _ = child.communicate()
    assert child.returncode == 0
    return output.splitlines()


def line(child: subprocess.Popen[str]) -> str:
    """The next line that a child prints."""
    assert child.stdout is not None
    return child.stdout.readline().rstrip("\n")


def kill(child: subprocess.Popen[str]) -> None:
    """End a child as a loss of power would, and free what it held here."""
    child.kill()
    child.communicate()


def stop(child: subprocess.Popen[str]) -> None:
    """Stop a child; it is stopped when this returns."""
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)


def step_down() -> None:
    """Be somebody whom permissions bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def show(folder: Path, *, writable: bool = False) -> None:
    """Let everybody read a folder; nobody, or everybody, writes."""
    for path in [folder, *folder.rglob("*")]:
        extra = 0o222 if writable else 0
        path.chmod((0o555 if path.is_dir() else 0o444) | extra)
