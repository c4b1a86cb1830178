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
ERROR_TAIL = 15  # lines of a failed command's output


class CommandFailedError(Exception):
    """A measured command ended with an exit code other than 0."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The cost of one process: seconds, CPU seconds (with its children), and peak memory in MiB."""

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
    """Measure after the writes of earlier commands are on the disk, so that none pays for another."""
    os.sync()
    return measure(command, folder, environment)


def interleave(contenders: Mapping[str, Callable[[], Sample]], repeat: int) -> dict[str, list[Sample]]:
    """Measure each in turn, `repeat` times over: A B A B …, so that a drift of the machine affects all equally."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, once in contenders.items():
            samples[name].append(once())
    return samples
