"""Starts the task runs of one Python interpreter; run as a script, without v6flow installed.

`zygote.py FD` imports what every algorithm needs (pandas and vantage6's tools, never an algorithm), then
forks one child per task run. Over the socket FD come and go lines of JSON:

    in:  {"start": KEY, "request": PATH}, {"kill": KEY}
    out: {"ready": VERSION} or {"failed": TEXT}, then {"started": KEY}, {"ended": KEY, "exit": CODE}

When the socket closes or the parent is gone, all children are killed. `zygote.py --once PATH FD` performs
one task run in this very process, for systems where forking is not safe; it ends when the pipe FD is closed.

It has one thread: nothing may hold a lock when it forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Serve, or perform one task run."""
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]  # no algorithm may import these
    if arguments[0] == "--once":
        threading.Thread(target=_die_with, args=(int(arguments[2]),), daemon=True).start()
        os._exit(perform(json.loads(Path(arguments[1]).read_text(encoding="utf-8"))))
    os._exit(Zygote(socket.socket(fileno=int(arguments[0]))).serve())


class Zygote:
    """The loop of a zygote: who runs, what was asked, who ended."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.parent = os.getppid()
        self.children: dict[int, int] = {}  # process id → key
        self.received = b""

    def serve(self) -> int:
        """Until the engine is gone."""
        awake, wake = os.pipe()
        for fd in (awake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # it only has to wake the loop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _die_with_parent(signal.SIGTERM)
        try:
            version = warm_up()
        except Exception as error:  # noqa: BLE001  whatever an import raises is the engine's to report
            self.send({"failed": f"{type(error).__name__}: {error}"})
            return 1
        try:
            self.send({"ready": version})
            while os.getppid() == self.parent:
                ready, _, _ = select.select([self.control.fileno(), awake], [], [])
                if awake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(awake, 4096)
                    self.reap()
                if self.control.fileno() in ready and not self.obey():
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine is gone
        for pid in self.children:
            _kill_group(pid)
            os.waitpid(pid, 0)
        return 0

    def send(self, message: dict[str, Any]) -> None:
        """Tell the engine."""
        self.control.sendall(json.dumps(message).encode() + b"\n")

    def obey(self) -> bool:
        """Do what the engine asks; False when it has closed the socket."""
        data = self.control.recv(1 << 16)
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "start" in message:
                self.start(message["start"], message["request"])
            else:
                for pid in [pid for pid, key in self.children.items() if key == message["kill"]]:
                    _kill_group(pid)
        return bool(data)

    def start(self, key: int, request: str) -> None:
        """Fork a child for a task run."""
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _leave_parent(self.control, zygote)
                code = perform(json.loads(Path(request).read_text(encoding="utf-8")))
            except BaseException:  # noqa: BLE001  a child never returns into the zygote's loop
                traceback.print_exc()
            finally:
                os._exit(code)
        self.children[pid] = key
        self.send({"started": key})

    def reap(self) -> None:
        """Report the children that ended, after killing what they left behind in their process group."""
        while self.children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            _kill_group(ended.si_pid)  # not reaped yet, so the number still is its own
            _, status = os.waitpid(ended.si_pid, 0)
            key = self.children.pop(ended.si_pid)
            self.send({"ended": key, "exit": os.waitstatus_to_exitcode(status)})


def warm_up() -> str:
    """Import what every algorithm needs; the version of vantage6's tools."""
    import importlib.metadata

    for module in ("pandas", "vantage6.algorithm.tools.wrap", "vantage6.algorithm.tools.decorators"):
        importlib.import_module(module)
    pandas = sys.modules["pandas"]
    pandas.read_csv(io.StringIO("a,b\n1,x\n"))["a"].sum()  # imports more of pandas when first used
    sys.path_importer_cache.clear()  # each child goes over all of it, and what it writes to is copied
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy these pages
    return importlib.metadata.version("vantage6-algorithm-tools")


def perform(request: dict[str, Any]) -> int:
    """Perform a task run in this process; its exit code.

    What it wrote is put in place from here, so that it survives whatever becomes of the engine.
    """
    work = Path(request["work"])
    _redirect(work / "log")
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(work / "temporary")
    tempfile.tempdir = None
    if request["path"] is not None:
        sys.path.insert(0, request["path"])
    importlib.invalidate_caches()
    code = _call(request)
    _flush()
    if code == 0:
        _keep(work, Path(request["answer"]), Path(request["log"]) if request["log"] is not None else None)
    return code


def _call(request: dict[str, Any]) -> int:
    """Call the algorithm through vantage6's own wrapper."""
    try:
        from vantage6.algorithm.tools.wrap import wrap_algorithm

        _reseed()
        wrap_algorithm()
    except SystemExit as stop:
        if isinstance(stop.code, int) or stop.code is None:
            code = (stop.code or 0) & 0xFF
        else:
            print(stop.code, file=sys.stderr)  # noqa: T201  as the interpreter does
            code = 1
    except BaseException as error:  # noqa: BLE001  as the interpreter does: a traceback, and exit code 1
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, frames)
        code = 1
    else:
        return 0
    if code:
        _say_what_it_offers(request["package"], request["method"])
    return code


def _say_what_it_offers(package: str, method: str) -> None:
    """If the method is not there, write into the log what is."""
    module = sys.modules.get(package)
    if module is None or hasattr(module, method):
        return
    top = package.partition(".")[0]
    names = sorted(
        name
        for name, value in vars(module).items()
        if callable(value)
        and not isinstance(value, type)
        and not name.startswith("_")
        and str(getattr(value, "__module__", "")).partition(".")[0] == top
    )
    print(f"v6flow > the package has {', '.join(names)}")  # noqa: T201  stdout is the log


def _keep(work: Path, answer: Path, log: Path | None) -> None:
    """Put a non-empty output in its place, durably; the log first, for the answer says that all is there.

    A log without a place stays where it is, and goes with the folder.
    """
    output = work / "output"
    if not output.exists() or output.stat().st_size == 0:
        return
    _sync(output, os.O_RDONLY)
    if log is not None:
        (work / "log").replace(log)
    output.replace(answer)
    _sync(answer.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reseed() -> None:
    """Make random numbers differ from those of the other children."""
    import random

    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _redirect(log: Path) -> None:
    """Standard output and error go to the log, by lines; there is no standard input."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]  # text files they are


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # an algorithm may have closed or replaced it
            stream.flush()


def _leave_parent(control: socket.socket, parent: int) -> None:
    """Become a process of one's own: a session, no inherited signals or descriptors, dead with the zygote."""
    os.setsid()
    _die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(70)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    control.detach()
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    for fd in [int(name) for name in os.listdir(folder)]:  # noqa: PTH208  numbers, not paths
        if fd > 2:
            with contextlib.suppress(OSError):
                os.close(fd)


def _die_with_parent(number: int) -> None:
    """Ask the system for this signal when the parent dies (Linux only; elsewhere nobody forks)."""
    if sys.platform == "linux":
        _system().prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


@functools.cache
def _system() -> ctypes.CDLL:
    """The system's library, opened once: the children of a zygote find it open."""
    return ctypes.CDLL(None)


def _die_with(pipe: int) -> None:
    """Kill this process and its group when the other end of a pipe is closed."""
    with contextlib.suppress(OSError):
        while os.read(pipe, 1):
            pass
    os.killpg(0, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group does not exist before the child has made it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
