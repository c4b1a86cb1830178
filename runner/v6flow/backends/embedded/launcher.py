"""The engine's side of the processes that perform task runs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Protocol

SCRIPT = Path(__file__).with_name("zygote.py")
LOOK_AT_LOGS = 0.5  # seconds between looks at the logs of those at work
PATIENCE = 5.0  # seconds that a process is given to end


class Listener(Protocol):
    """The listener to what becomes of task runs; called from any thread."""

    def started(self, key: int) -> None:
        """It has begun."""

    def ended(self, key: int, exit_code: int) -> None:
        """It has ended, with an exit code (negative: a signal)."""

    def lost(self, key: int, reason: str, *, began: bool) -> None:
        """Nobody knows what became of it; `began` is False if it has not even begun."""

    def refused(self, key: int, reason: str) -> None:
        """This interpreter cannot run any algorithm."""

    def look(self, keys: list[int]) -> None:
        """These are at work, and half a second has passed."""


class Launcher(Protocol):
    """Starts task runs with one interpreter."""

    def start(self, key: int, request: Path) -> None:
        """Perform the task run described in a file. Raises OSError if there is no such interpreter."""

    def kill(self, key: int) -> None:
        """End a task run and all its processes, if it is at work."""

    def close(self) -> None:
        """End all, and wait until they have ended."""


def launcher(python: str, log: Path, listener: Listener, *, warm: bool | None = None) -> Launcher:
    """What starts task runs here: forks of a warm process; cold ones on macOS, where that is not safe."""
    if sys.platform != "darwin" if warm is None else warm:
        return Warm(python, log, listener)
    return Cold(python, listener)


class Warm:
    """A zygote, started with the first task run and again if it was lost."""

    def __init__(self, python: str, log: Path, listener: Listener) -> None:
        self._python = python
        self._log = log
        self._listener = listener
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._closed = False

    def start(self, key: int, request: Path) -> None:
        with self._lock:
            if self._closed:
                return
            if self._zygote is None or not self._zygote.start(key, request):
                self._zygote = _Zygote(self._python, self._log, self._listener)
                self._zygote.start(key, request)

    def kill(self, key: int) -> None:
        with self._lock:
            if self._zygote is not None:
                self._zygote.kill(key)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            zygote = self._zygote
        if zygote is not None:
            zygote.close()


class _Zygote:
    """One zygote process, from its start to its end."""

    def __init__(self, python: str, log: Path, listener: Listener) -> None:
        self._listener = listener
        self._log = log
        self._at_work: dict[int, bool] = {}  # key → whether it has begun
        self._lock = threading.Lock()
        self._lost = False
        self._failure: str | None = None
        self._control, theirs = socket.socketpair()
        try:
            with theirs, log.open("ab") as output:
                self._process = subprocess.Popen(
                    [python, str(SCRIPT), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except OSError:
            self._control.close()
            raise
        self._reader = threading.Thread(target=self._read, name="v6flow-zygote", daemon=True)
        self._reader.start()

    def start(self, key: int, request: Path) -> bool:
        """False if this zygote is lost and cannot start anything."""
        with self._lock:
            if self._lost:
                return False
            self._at_work[key] = False
        self._send({"start": key, "request": str(request)})
        return True

    def kill(self, key: int) -> None:
        self._send({"kill": key})

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)  # the zygote kills its children and ends
        self._wait_for_end()
        if threading.current_thread() is not self._reader:
            self._reader.join(PATIENCE)

    def _wait_for_end(self) -> None:
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: dict[str, object]) -> None:
        with self._lock, contextlib.suppress(OSError):  # if it is gone, the reader says so
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _read(self) -> None:
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            while True:
                if not selector.select(LOOK_AT_LOGS):
                    self._listener.look([key for key, begun in list(self._at_work.items()) if begun])
                    continue
                try:
                    data = self._control.recv(1 << 16)
                except OSError:
                    data = b""
                if not data:
                    break
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
        self._give_up()

    def _hear(self, message: dict[str, object]) -> None:
        match message:
            case {"failed": str(reason)}:
                self._failure = reason
            case {"started": int(key)}:
                self._at_work[key] = True
                self._listener.started(key)
            case {"ended": int(key), "exit": int(code)}:
                with self._lock:
                    self._at_work.pop(key, None)
                self._listener.ended(key, code)
            case _:
                self._refuse_other_versions(message.get("ready"))

    def _refuse_other_versions(self, version: object) -> None:
        if not str(version).startswith("4."):
            self._failure = f"vantage6-algorithm-tools {version} is installed, and algorithms of vantage6 4 need 4.x"
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)

    def _give_up(self) -> None:
        """The zygote is gone, and with it all that it had at work."""
        with self._lock:
            self._lost = True
            at_work, self._at_work = self._at_work, {}
            self._control.close()
        self._wait_for_end()
        for key, begun in at_work.items():
            if self._failure is not None:
                self._listener.refused(key, self._failure)
            else:
                self._listener.lost(key, f"the process that performs task runs ended (see {self._log})", began=begun)


class Cold:
    """A new process per task run."""

    def __init__(self, python: str, listener: Listener) -> None:
        self._python = python
        self._listener = listener
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []

    def start(self, key: int, request: Path) -> None:
        lifeline, ours = os.pipe()
        try:
            process = subprocess.Popen(
                [self._python, str(SCRIPT), "--once", str(request), str(lifeline)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[lifeline],
                start_new_session=True,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(lifeline)
        with self._lock:
            self._processes[key] = process
        self._listener.started(key)
        thread = threading.Thread(target=self._wait, args=(key, process, ours), name=f"v6flow-run-{key}", daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def kill(self, key: int) -> None:
        with self._lock:
            process = self._processes.get(key)
            if process is not None and process.returncode is None:
                _kill_group(process.pid)

    def close(self) -> None:
        with self._lock:
            keys, threads = list(self._processes), list(self._threads)
        for key in keys:
            self.kill(key)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(PATIENCE)

    def _wait(self, key: int, process: subprocess.Popen[bytes], ours: int) -> None:
        while True:
            try:
                code = process.wait(LOOK_AT_LOGS)
                break
            except subprocess.TimeoutExpired:
                self._listener.look([key])
        _kill_group(process.pid)  # what it may have left behind
        os.close(ours)
        with self._lock:
            del self._processes[key]
        self._listener.ended(key, code)


def _environment() -> dict[str, str]:
    """What the interpreter itself needs; nothing of the user's own environment reaches an algorithm.

    One thread per library: task runs run side by side, and a process with threads must not be forked.
    """
    passed_on = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "TZ")
    return {name: os.environ[name] for name in passed_on if name in os.environ} | {
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow starts one when it is imported
    }


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
