"""The process that stands between v6flow and a local step's worker, reports how it ended, and outlives nobody.

It starts the worker, adopts every orphan of it (Linux: PR_SET_CHILD_SUBREAPER), and waits. Its stdin is the life-line:
a byte asks for SIGTERM to everything, the end of file for SIGKILL to everything, as at the death of v6flow. On the
descriptor `status` it writes the worker's pid, then how the worker ended.
"""

# importing pathlib and contextlib would cost 5 ms in every step:
# ruff: noqa: PTH123, PTH208, SIM105

from __future__ import annotations

import json
import os
import select
import signal
import sys

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost time in every step
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn, TypeAlias

    BecomeWorker: TypeAlias = Callable[[str, Mapping[str, Any], tuple[int, ...]], NoReturn]

SIGNALS_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # only the life-line ends the supervisor

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def supervise(folder: str, request: Mapping[str, Any], become_worker: BecomeWorker) -> NoReturn:
    """Start the worker, wait for it or for the life-line, and leave nothing behind."""
    status: int = request["status"]
    os.set_inheritable(status, False)
    for number in SIGNALS_IGNORED:
        signal.signal(number, signal.SIG_IGN)
    wake, notify = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(notify, False)
    signal.set_wakeup_fd(notify)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    prctl = _prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the line above
            os._exit(1)
        become_worker(folder, request, (status, wake, notify))
    os.write(status, b"%d\n" % worker)
    ended = _wait(worker, wake, folder)
    _kill_all(worker, wake)
    try:
        os.write(status, json.dumps(ended).encode() + b"\n")
    except BrokenPipeError:  # v6flow has died meanwhile
        _remove(folder)
    os._exit(0)  # taking the interpreter apart would cost time, for nothing


def _prctl() -> Callable[[int, int], object]:
    """Linux's prctl; elsewhere, and where ctypes is missing, something that does nothing."""
    if sys.platform != "linux":
        return lambda _option, _value: None
    try:
        import ctypes

        function = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda _option, _value: None
    long = ctypes.c_ulong
    return lambda option, value: function(option, long(value), long(0), long(0), long(0))


def _wait(worker: int, wake: int, folder: str) -> dict[str, int]:
    """How the worker ended: its exit code (negative: the signal), and its largest resident size in bytes.

    The end of the life-line ends everything, this process too, and removes the folder.
    """
    while True:
        ended = _reap(worker)
        if ended is not None:
            return ended
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        if 0 in ready:
            if os.read(0, 1):
                _signal_all(worker, signal.SIGTERM)
            else:
                _kill_all(worker, wake)
                _remove(folder)
                os._exit(0)


def _reap(worker: int) -> dict[str, int] | None:
    """Reap whoever has died; how the worker ended if it is among them."""
    found = None
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == worker:
            unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
            found = {"code": os.waitstatus_to_exitcode(status), "largest": usage.ru_maxrss * unit}


def _kill_all(worker: int, wake: int) -> None:
    """Kill until nothing is left of what the worker started."""
    while not _alone():
        _signal_all(worker, signal.SIGKILL)
        if select.select([wake], [], [], 0.01)[0]:
            os.read(wake, 4096)
    _send(os.killpg, worker, signal.SIGKILL)  # for orphans where they are not adopted: not on Linux


def _alone() -> bool:
    """Reap the dead; whether no child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return True
    return False


def _signal_all(worker: int, number: int) -> None:
    """Send a signal to the worker's process group and, on Linux, to all descendants wherever they went."""
    descendants = _descendants()
    for pid in descendants:
        _send(os.kill, pid, number)
    if worker not in descendants:
        _send(os.killpg, worker, number)


def _send(send: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone already, or another user's by setuid


def _descendants() -> list[int]:
    """The processes below this one, by /proc; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in filter(str.isdigit, names):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it has just ended
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    level = children.get(os.getpid(), [])
    while level:
        found += level
        level = [child for pid in level for child in children.get(pid, [])]
    return found


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
