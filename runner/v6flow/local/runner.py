"""Runs local steps, a few at a time, each in a child process with a time limit and a memory limit.

One thread does everything: it starts children, reads their pipes, and ends those that are too slow or too
large. It sleeps in a selector until a pipe has something, a deadline passes, or memory is to be looked at.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from v6flow.clock import SystemClock
from v6flow.local.base import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.clock import Clock
    from v6flow.core.execution.commands import LocalRequest
    from v6flow.local.base import LocalReport
    from v6flow.local.process import Child

DEFAULT_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL; SIGTERM to v6flow is promised to end within 5."""

_FORCED_AFTER = 1.0  # seconds that a supervisor has to kill everything before we do it without its help
_GIVEN_UP_AFTER = 1.0  # and seconds that we wait after that, for a process that sleeps in the kernel
_FILL_RATE = 2e9  # bytes a second that a process can fill: so long we may look away from it
_BURIED_AFTER = 1.0  # seconds, about, that closing what is left of a child may take
_LOOK_AT_LEAST, _LOOK_AT_MOST = 0.02, 0.5  # seconds between two looks at memory
_LOOK_SHARE = 5  # a look may take a fifth of one processor's time


class ChildRunner:
    """Fulfils `Local`. At most `jobs` children run at once (None: one a processor), others wait.

    `grace` is in seconds, between SIGTERM and SIGKILL. `python` is the interpreter for functions; `cold`
    starts a second one for the function itself instead of forking the first, as macOS needs.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        grace: float = DEFAULT_GRACE,
        python: str = sys.executable,
        cold: bool = sys.platform != "linux",
        clock: Clock | None = None,
    ) -> None:
        self._jobs = jobs or _processors()
        self._grace = grace
        self._python = python
        self._cold = cold
        self._clock = (clock or SystemClock()).now
        self._orders: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = -1, -1
        self._thread: threading.Thread | None = None
        self._closing = False
        # what only the thread touches:
        self._queue: deque[LocalRequest] = deque()
        self._running: list[_Running] = []
        self._emit: Callable[[LocalReport], None] = _nowhere

    def open(self, emit: Callable[[LocalReport], None]) -> None:
        """Begin: from now on reports go to `emit`, from the runner's own thread."""
        if self._thread is not None or self._closing:
            raise RuntimeError("a ChildRunner is opened once")
        self._emit = emit
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work, name="v6flow-local", daemon=True)
        self._thread.start()

    def start(self, request: LocalRequest) -> None:
        """Queue a request; its child starts when one of the `jobs` is free; the timeout counts from then."""
        if self._thread is None or self._closing:
            raise RuntimeError("a ChildRunner starts steps between open and close")
        self._order(lambda: self._queue.append(request))

    def kill(self, step: str) -> None:
        """End what runs or waits for a step; nothing is reported for it, but what is being reported now."""
        if self._thread is not None and not self._closing:
            self._order(lambda: self._kill(step))

    def close(self) -> None:
        """End everything; returns when all has ended or been given up: at most grace and three seconds."""
        self._closing = True
        if self._thread is None:
            return
        self._order(self._kill_all)
        if threading.current_thread() is not self._thread:
            self._thread.join(self._grace + _FORCED_AFTER + _GIVEN_UP_AFTER + _BURIED_AFTER)
        if not self._thread.is_alive():
            self._thread = None
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        with contextlib.suppress(BlockingIOError):  # it is full, and will wake the thread anyway
            os.write(self._wake_write, b"!")

    # ------------------------------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        try:
            self._loop()
        except BaseException as error:
            self._fall(error)
            raise

    def _fall(self, error: BaseException) -> None:
        """A bug of ours is not to leave anything running, or anybody waiting."""
        self._closing = True
        for running in self._running:
            running.child.force()
            running.child.bury()
            running.child.discard()
        message, hint = f"v6flow failed while it ran local steps: {error!r}", "this is a bug in v6flow"
        started = [running.child.request for running in self._running if not running.silent]
        for request in (*started, *self._queue):
            self._emit(AttemptFailed(request.step, request.attempt, "crashed", message, hint=hint))

    def _loop(self) -> None:
        while not self._closing or self._running or self._orders:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    os.read(self._wake_read, 4096)
                else:
                    self._read(key.data, key.fd)
            while self._orders:
                self._orders.popleft()()
            self._finish()
            self._judge()
            self._fill()
        self._selector.close()

    def _patience(self) -> float | None:
        """Seconds until something is to be done though no pipe speaks; None: no end."""
        times = [running.next_time() for running in self._running]
        return max(0.0, min(times) - self._clock()) if times and min(times) < _NEVER else None

    def _read(self, running: _Running, descriptor: int) -> None:
        if not running.child.read(descriptor):
            self._selector.unregister(descriptor)

    def _fill(self) -> None:
        """Start what waits while there is room."""
        if self._queue:
            from v6flow.local.process import Child  # many runs never start one
        while self._queue and len(self._running) < self._jobs and not self._closing:
            request = self._queue[0]
            try:
                child = Child(request, self._python, cold=self._cold)
            except (OSError, ValueError) as error:
                self._queue.popleft()
                self._emit(_not_started(request, error))
                continue
            self._queue.popleft()
            running = _Running(child, self._clock())
            self._running.append(running)
            for descriptor in child.readable:
                self._selector.register(descriptor, selectors.EVENT_READ, running)

    def _finish(self) -> None:
        """Report and forget the children that have ended."""
        ended = [running for running in self._running if running.child.ended or running.given_up]
        for running in ended:
            for descriptor in running.child.readable:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(descriptor)
            running.child.bury()
            report = None if running.silent else running.report()
            running.child.discard()
            self._running.remove(running)
            if report is not None:
                self._emit(report)

    def _judge(self) -> None:
        """End the children whose time is up or memory too much, and press those that should have ended."""
        for running in self._running:
            now = self._clock()
            if running.ending is None:
                self._judge_limits(running, now)
            elif now >= running.press_at:
                running.press(now)

    def _judge_limits(self, running: _Running, now: float) -> None:
        request = running.child.request
        if now >= running.deadline and request.timeout is not None:
            running.end("timeout", f"did not end within {_duration(request.timeout)}, its timeout", now, self._grace)
        elif now >= running.look_at and request.memory is not None:
            used = running.child.memory()
            if used > request.memory:
                message, hint = running.child.exceeded(used, request.memory)
                running.end("memory", message, now, grace=0.0, hint=hint)
            cost = self._clock() - now
            running.look_at = now + cost + _next_look(request.memory - used, cost)

    def _kill(self, step: str) -> None:
        self._queue = deque(request for request in self._queue if request.step != step)
        for running in self._running:
            if running.child.request.step == step:
                running.silence(self._clock(), self._grace)

    def _kill_all(self) -> None:
        self._queue.clear()
        for running in self._running:
            running.silence(self._clock(), self._grace)


_NEVER = float("inf")


class _Running:
    """A child with its deadlines, and why it is being ended, if it is."""

    def __init__(self, child: Child, now: float) -> None:
        self.child = child
        self.deadline = _NEVER if child.request.timeout is None else now + child.request.timeout
        self.look_at = _NEVER if child.request.memory is None else now
        self.ending: tuple[str, str, str | None] | None = None
        self.silent = False
        self.press_at = _NEVER
        self.given_up = False
        self._pressed = 0

    def next_time(self) -> float:
        """When something is to be done about it."""
        return min(self.deadline, self.look_at) if self.ending is None else self.press_at

    def end(self, kind: str, message: str, now: float, grace: float, hint: str | None = None) -> None:
        """Begin to end it: SIGTERM, and after the grace SIGKILL; without grace at once."""
        self.ending = (kind, message, hint)
        self.press_at = now + grace
        if grace > 0:
            self.child.terminate()
        else:
            self.press(now)

    def silence(self, now: float, grace: float) -> None:
        """End it and report nothing."""
        self.silent = True
        if self.ending is None:
            self.end("killed", "", now, grace)

    def press(self, now: float) -> None:
        """The next measure against what has not ended: SIGKILL, then by our own hand, then give up."""
        self._pressed += 1
        if self._pressed == 1:
            self.child.kill()
            self.press_at = now + _FORCED_AFTER
        elif self._pressed == 2:
            self.child.force()
            self.press_at = now + _GIVEN_UP_AFTER
        else:
            self.given_up = True

    def report(self) -> LocalReport:
        if self.ending is None:
            return self.child.report()
        return self.child.failed(*self.ending)


def _next_look(headroom: int, cost: float) -> float:
    """Seconds until memory is looked at again: what it takes to fill what is free, and not too busily."""
    return max(cost * _LOOK_SHARE, min(max(headroom / _FILL_RATE, _LOOK_AT_LEAST), _LOOK_AT_MOST))


def _not_started(request: LocalRequest, error: Exception) -> AttemptFailed:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    hint = "the system is out of processes, files or space" if isinstance(error, OSError) else None
    message = f"no child process could be started: {reason}"
    return AttemptFailed(request.step, request.attempt, "start_failed", message, hint=hint)


def _duration(seconds: float) -> str:
    """A duration as a workflow writes it: 1h30m; a fraction of a second as it is: 0.5s."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    text, rest = "", int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if rest >= length:
            text += f"{rest // length}{unit}"
            rest %= length
    return text or "0s"


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _nowhere(_report: LocalReport) -> None:
    """Where reports go before `open`: there are none."""
