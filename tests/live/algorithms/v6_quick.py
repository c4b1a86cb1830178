"""A vantage6 v4 algorithm without pandas, so that it starts in a third of the time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

LOOK = 0.02  # seconds between looks whether a gate is open


def give(value: Any, mark: str = "") -> Any:
    """The value; leaves the mark at the node."""
    _note(mark)
    return value


def wait(value: Any, gate: str, mark: str = "") -> Any:
    """The value once there is a file `gate`; says so before and after."""
    _note(mark)
    print("waits at the gate", flush=True)
    while not Path(gate).exists():
        time.sleep(LOOK)
    print("went through", flush=True)
    return value


def fail(words: str) -> None:
    """Crashes."""
    print("about to fail", flush=True)
    raise ValueError(words)


def act(deed: str, value: Any = None, gate: str = "", words: str = "") -> Any:
    """What one organization is to do where others do something else: `give`, `wait`, `fail`."""
    if deed == "fail":
        fail(words)
    return wait(value, gate) if deed == "wait" else give(value)


def _note(mark: str) -> None:
    """Leave a line in the file that the node's environment names, if it names one."""
    if "NOTE_FILE" in os.environ:
        with Path(os.environ["NOTE_FILE"]).open("a", encoding="utf-8") as file:
            file.write(f"{mark}\n")
