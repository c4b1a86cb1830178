"""Lets a run that is held here go on in a process of its own, in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from v6flow.running import Held
    from v6flow.stores.folder.store import RunFolder, Store

LOG = "detached.log"
"""The file in a run's folder with what the process in the background prints."""
_LOOK = 0.02  # seconds


def detach(
    held: Held,
    store: Store,
    words: Sequence[str],
    variables: Mapping[str, str],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> int | None:
    """Let go of a run, and have `v6flow resume` with these further words go on with it.

    `variables` are added to its environment (see `backends.base.Access.handed_on`).
    Returns None once that process holds the run, or its exit code if it has ended before that could be seen.
    """
    folder = held.folder
    held.close()
    command = [sys.executable, "-m", "v6flow", "resume", "--store", str(store.root), *words, folder.id]
    path = folder.path / LOG
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
        holder = folder.holder()
        if holder is not None and holder.pid == child.pid:
            child.returncode = 0  # it is no longer ours to wait for
            return None
        sleep(_LOOK)
    return child.returncode


def said(folder: RunFolder) -> str:
    """What the process in the background has printed."""
    return (folder.path / LOG).read_text("utf-8", "replace")
