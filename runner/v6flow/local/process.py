"""One local step's child: started, read from, ended, and what became of it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from msgspec import Struct

from v6flow.core.json import JsonError, dumps, loads
from v6flow.local.base import AttemptAnswered, AttemptFailed
from v6flow.local.capture import Capture

if TYPE_CHECKING:
    from v6flow.core.execution.commands import LocalRequest
    from v6flow.local.base import LocalReport

MAX_RESULT = 256 << 20
"""Bytes of a result: what is larger is refused before it is in memory."""

_CHILD = Path(__file__).with_name("start.py")
_READ = 1 << 16
_SPOOLED = 1 << 20  # bytes of a command's stdout kept in memory; beyond it they go to a file without a name


class _Ended(Struct, frozen=True):
    """How the worker ended: its exit code (negative: the signal), and its largest resident size in bytes."""

    code: int
    largest: int


class Child:
    """A started child and its pipes. Nothing here waits, but for `bury`, which waits for what has ended.

    Raises OSError from the constructor if no process or pipe can be had.
    """

    def __init__(self, request: LocalRequest, python: str, *, cold: bool) -> None:
        self.request = request
        self.ended = False
        self._end: _Ended | None = None
        self._worker: int | None = None
        self._status_text = b""
        self._errors, self._log = Capture(), Capture()
        self._printed = tempfile.SpooledTemporaryFile(max_size=_SPOOLED)  # noqa: SIM115  closed in `bury`
        self._printed_size = 0
        self._folder = Path(tempfile.mkdtemp(prefix="v6flow-local-"))
        try:
            self._start(python, cold=cold)
        except BaseException:
            self._clean()
            raise

    def _start(self, python: str, *, cold: bool) -> None:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            pipes: dict[str, tuple[int, int]] = {}
            for name in ("life", "status", "log", "out"):
                read, write = pipes[name] = os.pipe()
                mine, other = (write, read) if name == "life" else (read, write)
                ours.callback(os.close, mine)
                theirs.callback(os.close, other)
                os.set_blocking(mine, False)
            status, log, out = pipes["status"][1], pipes["log"][1], pipes["out"][1]
            self._write_request(status, cold=cold)
            self._supervisor = subprocess.Popen(
                [python, str(_CHILD), "supervise", str(self._folder)],
                stdin=pipes["life"][0],
                stdout=log if self.request.command is None else out,
                stderr=log,
                pass_fds=(status,),
                start_new_session=True,
            )
            ours.pop_all()
        self._life: int | None = pipes["life"][1]
        self.readable = {pipes[name][0]: name for name in ("status", "log", "out")}

    def _write_request(self, status: int, *, cold: bool) -> None:
        request = {
            "function": self.request.function,
            "command": self.request.command and list(self.request.command),
            "folder": self.request.folder,
            "path": [os.path.abspath(entry) for entry in sys.path],  # noqa: PTH100  Path keeps `..`
            "status": status,
            "cold": cold,
            "r": str(_CHILD.with_name("v6flow.R")),
        }
        (self._folder / "request.json").write_text(json.dumps(request), encoding="ascii")
        (self._folder / "input.json").write_text(dumps(dict(self.request.kwargs)), encoding="utf-8")

    # ------------------------------------------------------------------------------------------ while it runs

    def read(self, descriptor: int) -> bool:
        """Take what a pipe holds now; False once it has ended."""
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return True
        name = self.readable[descriptor]
        if name == "status":
            self._status_text += data
            self.ended = not data
        elif name == "log":
            self._errors.feed(data)
            self._log.feed(data)
        else:
            self._log.feed(data)
            self._keep(data)
        return bool(data)

    def _keep(self, data: bytes) -> None:
        """Keep what a command printed, which may be its result, up to what a result may have."""
        self._printed_size += len(data)
        if self._printed_size <= MAX_RESULT:
            self._printed.write(data)

    def memory(self) -> int:
        """The resident size of the whole process tree, in bytes, without our own supervisor."""
        total = 0
        for member in self._members():
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
        return total

    def _members(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._supervisor.pid).children(recursive=True)
        return []

    @staticmethod
    def exceeded(reached: int, limit: int) -> tuple[str, str]:
        """The sentence and the remedy for a tree of processes above its limit."""
        return f"reached {size(reached)} of memory, its limit is {size(limit)}", "raise `memory`, or read less at once"

    def terminate(self) -> None:
        """Ask everything that runs to end (SIGTERM)."""
        if self._life is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._life, b"T")

    def kill(self) -> None:
        """End everything that runs (SIGKILL), by cutting the life-line."""
        if self._life is not None:
            os.close(self._life)
            self._life = None

    def force(self) -> None:
        """End everything without the help of a supervisor that does not answer."""
        self.kill()
        members = self._members()
        self._supervisor.kill()
        for member in members:
            with contextlib.suppress(psutil.Error):
                member.kill()
        self._kill_group()

    def _kill_group(self) -> None:
        self._read_status()
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._worker, signal.SIGKILL)

    # -------------------------------------------------------------------------------------- when it has ended

    def bury(self) -> None:
        """Reap the supervisor, take what the pipes still hold, and close everything but the folder."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(1.0)  # its status has ended: it is past its last line, or it was killed
        self._read_status()
        if self._end is None:
            self._kill_group()
        for descriptor in self.readable:
            self._drain(descriptor)
            os.close(descriptor)
        self.readable = {}

    def _drain(self, descriptor: int) -> None:
        """Take what is left in a pipe, and not wait for one that somebody unkillable still holds."""
        if self.readable[descriptor] == "status":
            return
        for _ in range(1 + (1 << 20) // _READ):  # a pipe holds at most 1 MiB
            with contextlib.suppress(BlockingIOError):
                data = os.read(descriptor, _READ)
                if data:
                    self._log.feed(data)
                    if self.readable[descriptor] == "out":
                        self._keep(data)
                    else:
                        self._errors.feed(data)
                    continue
            return

    def _read_status(self) -> None:
        pid, _, end = self._status_text.partition(b"\n")
        if pid.isdigit():
            self._worker = int(pid)
        if end.endswith(b"\n"):
            self._end = _Ended(**json.loads(end))

    def discard(self) -> None:
        """Remove what the child left behind."""
        self._clean()

    def _clean(self) -> None:
        self._printed.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What was printed, stdout and stderr in the order in which it came."""
        return self._log.text()

    def report(self) -> LocalReport:
        """What became of it, of itself: an answer, or a failure of any kind but `timeout`."""
        end = self._end
        if end is None:
            return self._supervisor_died()
        limit = self.request.memory
        if limit is not None and end.largest > limit:
            return self.failed("memory", *self.exceeded(end.largest, limit))
        failure = self._told()
        if failure is not None:
            return failure
        if end.code != 0:
            return self._died(end.code)
        return self._answer()

    def failed(self, kind: str, message: str, hint: str | None = None) -> AttemptFailed:
        """A failure of this request with the log so far."""
        return AttemptFailed(self.request.step, self.request.attempt, kind, message, self.log, hint)

    def _supervisor_died(self) -> AttemptFailed:
        code = self._supervisor.returncode
        if code is not None and code > 0:
            line = self._errors.last_line()
            return self.failed("start_failed", f"the child process could not start: {line or f'exit code {code}'}")
        how = f"killed by signal {_signal_name(-code)}" if code else "gone"
        return self.failed("crashed", f"the process that watches this step was {how}")

    def _told(self) -> AttemptFailed | None:
        """The failure that the child itself wrote down."""
        try:
            told: dict[str, Any] = json.loads((self._folder / "failure.json").read_text(encoding="utf-8"))
            return self.failed(str(told["kind"]), str(told["message"]), told["hint"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _died(self, code: int) -> AttemptFailed:
        if code < 0:
            name = _signal_name(-code)
            hint = "the system may have run out of memory" if name == "SIGKILL" else None
            return self.failed("crashed", f"killed by signal {name}", hint)
        if self.request.command is None:
            return self.failed("crashed", f"ended with exit code {code} without a result")
        line = self._errors.last_line()
        return self.failed("crashed", f"exit code {code}: {line}" if line else f"exit code {code}")

    def _answer(self) -> LocalReport:
        try:
            body = self._read_output()
        except OSError as error:
            return self.failed("garbage", f"its result cannot be read: {error.strerror}")
        if self.request.command is None:
            if body is None:
                hint = "a function must return; os._exit ends its process at once"
                return self.failed("crashed", "ended with exit code 0 without a result", hint)
            return AttemptAnswered(self.request.step, self.request.attempt, body, self.log)
        return self._command_answer(body)

    def _read_output(self) -> bytes | None:
        """The file with the result, None if there is none. OSError for what is no file or too large."""
        path = self._folder / "output.json"
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):  # a FIFO would wait for ever
            raise OSError(0, "it is not a regular file")
        if found.st_size > MAX_RESULT:
            raise OSError(0, f"it has {size(found.st_size)}, more than {size(MAX_RESULT)}")
        return path.read_bytes()

    def _command_answer(self, body: bytes | None) -> LocalReport:
        """A command's result: the file if it wrote one, else what it printed."""
        source, log = "$V6FLOW_OUTPUT", self.log
        if body is None:
            source, log = "stdout", self._errors.text()
            if self._printed_size > MAX_RESULT:
                message = f"it printed more than {size(MAX_RESULT)} and wrote no $V6FLOW_OUTPUT"
                return self.failed("garbage", message)
            self._printed.seek(0)
            body = self._printed.read()
        try:
            loads(body)
        except JsonError as error:
            hint = None
            if source == "stdout":
                hint = "stdout must be one JSON text and nothing else, or write it to $V6FLOW_OUTPUT"
            return self.failed("garbage", f"what it wrote to {source} is no result: {error}", hint)
        return AttemptAnswered(self.request.step, self.request.attempt, body, log)


def size(count: int) -> str:
    """A number of bytes for people, in binary units, rounded down: 204.5 MiB."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{math.floor(count * 10 / (1 << power)) / 10:g} {unit}"
    return f"{count} bytes"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
