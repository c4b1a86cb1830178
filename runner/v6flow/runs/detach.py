"""Continues a run that is held here in a process of its own, in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from v6flow.runs.opened import OpenRun
    from v6flow.stores.base import StoredRun

LOG = "detached.log"
"""The file in a run's scratch folder with what the process in the background prints."""
_LOOK = 0.02  # seconds


def detach(
    opened: OpenRun,
    words: Sequence[str],
    variables: Mapping[str, str],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> int | None:
    """Release a run, and have `v6flow resume` with these further words continue it.

    `variables` are added to its environment (see `backends.base.Access.handed_on`).
    Returns None once that process holds the run, or its exit code if it has ended before that could be seen.
    """
    stored = opened.stored
    opened.close()
    command = [sys.executable, "-m", "v6flow", "resume", "--store", stored.store.name, *words, stored.id]
    path = stored.scratch / LOG
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as log:
        child = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )
    while child.poll() is None:
        holder = stored.holder()
        if holder is not None and holder.pid == child.pid:
            child.returncode = 0  # it is no longer ours to wait for
            return None
        sleep(_LOOK)
    return child.returncode


def said(stored: StoredRun) -> str:
    """What the process in the background has printed."""
    return (stored.scratch / LOG).read_text("utf-8", "replace")
