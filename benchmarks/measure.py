"""Time whole processes, from before they start until they have ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ERROR_TAIL = 15  # lines of what a failed command said
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


class CommandFailedError(Exception):
    """A command that was to be measured ended with another exit code than 0."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process cost: seconds, seconds of processor (with its children), and MiB at its largest."""

    wall: float
    cpu: float
    memory: float


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Sample:
    """Run a command once in a folder, where its output is left in `stdout` and `stderr`. Raises CommandFailedError.

    The command is started by a small process of its own: on Linux the peak memory of a process begins with that of the one
    that started it.
    """
    launcher = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(
        launcher, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    told = json.loads(done.stdout)
    if told.pop("exit_code") != 0:
        said = (folder / "stderr").read_text(errors="replace").splitlines()[-ERROR_TAIL:]
        raise CommandFailedError("\n  ".join([f"failed in {folder}: {' '.join(command)}", *said]))
    return Sample(**told)


def interleave(contenders: Mapping[str, Callable[[], Sample]], repeat: int) -> dict[str, list[Sample]]:
    """Measure each in turn, `repeat` times over: A B A B …, so that a drift of the machine hits all alike."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, once in contenders.items():
            samples[name].append(once())
    return samples


def _launch(command: Sequence[str]) -> dict[str, float]:
    files = [
        (os.POSIX_SPAWN_OPEN, descriptor, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for descriptor, name in ((1, "stdout"), (2, "stderr"))
    ]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
    _, status, usage = os.wait4(pid, 0)
    return {
        "wall": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * MAXRSS_UNIT / 2**20,
        "exit_code": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    json.dump(_launch(sys.argv[1:]), sys.stdout)
