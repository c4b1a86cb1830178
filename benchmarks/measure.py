"""Time whole processes, from before they start until they have ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAUNCH = str(Path(__file__).resolve().parent / "programs" / "launch.py")
ERROR_TAIL = 15  # lines of what a failed command said


class CommandFailedError(Exception):
    """A command that was to be measured ended with another exit code than 0."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process cost: seconds, seconds of processor (with its children), and MiB at its largest."""

    wall: float
    cpu: float
    memory: float


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Run a command once in a folder, where its output is left in `stdout` and `stderr`.

    A small process of its own starts the command: on Linux the peak memory of a process begins with that of
    the one that started it. Raises CommandFailedError.
    """
    launcher = [sys.executable, "-I", "-S", LAUNCH, *command]
    done = subprocess.run(launcher, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    if told.pop("exit_code") != 0:
        said = (folder / "stderr").read_text(errors="replace").splitlines()[-ERROR_TAIL:]
        raise CommandFailedError("\n  ".join([f"failed in {folder}: {' '.join(command)}", *said]))
    return Sample(**told)


def settled(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Measure once what earlier commands wrote is on the disk, so that none pays for another."""
    os.sync()
    return measure(command, folder, environment)


def interleave(contenders: Mapping[str, Callable[[], Sample]], repeat: int) -> dict[str, list[Sample]]:
    """Measure each in turn, `repeat` times over: A B A B …, so that a drift of the machine hits all alike."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, once in contenders.items():
            samples[name].append(once())
    return samples
