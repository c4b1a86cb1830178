"""Runs the backend's work: coroutines on one event loop, and their blocking calls in a few threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor as StandardExecutor
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from functools import partial
from itertools import count
from queue import PriorityQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from v6flow.backends.vantage6.backoff import LOOKS, asked_to_wait, is_away
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import RefusedError
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from v6flow.backends.vantage6.backoff import Backoff

T = TypeVar("T")
Sleep: TypeAlias = "Callable[[float], Awaitable[None]]"

_WORK: ContextVar[_Work | None] = ContextVar("v6flow_work", default=None)
_LIMIT: ContextVar[tuple[float, str] | None] = ContextVar("v6flow_limit", default=None)  # when, and the message
UNIMPORTANT = 500  # the urgency of what continues while closing, behind all last wills


async def call(function: Callable[[], T]) -> T:
    """What a blocking function returns, or raises, in a thread of the executor that runs this coroutine."""
    work = _WORK.get()
    pool = None if work is None else work.executor.pool
    return await asyncio.get_running_loop().run_in_executor(pool, function)


async def sleep(seconds: float) -> None:
    """Wait, and let others work meanwhile. Raises CancelledError once the executor is closed, but for a last will.

    Raises UnreachableError where that would be longer than `bounded` allows.
    """
    work, limit = _WORK.get(), _LIMIT.get()
    if limit is not None and asyncio.get_running_loop().time() + seconds > limit[0]:
        raise UnreachableError(limit[1], hint="when the server is back, resume the run")
    if work is None:
        await asyncio.sleep(seconds)
    else:
        await work.sleep(seconds)


async def patiently(read: Callable[[], T], waits: Backoff, *, sleep: Sleep = sleep) -> T:
    """What a read answers in the end; waits while the server is away.

    An answer that does not fit the request is read LOOKS times at most. Raises StrangeError then.
    """
    strange = 0
    while True:
        try:
            found = await call(read)
        except StrangeError:  # noqa: PERF203  each try may fail
            strange += 1
            if strange >= LOOKS:
                raise
            await sleep(waits.next())
        except (UnreachableError, RefusedError) as error:
            if not is_away(error):
                raise
            await sleep(waits.next(asked_to_wait(error)))
        else:
            waits.reset()
            return found


async def bounded(work: Coroutine[Any, Any, T], seconds: float, message: str) -> T:
    """What a coroutine returns. Raises UnreachableError, with a message, where it would sleep past that time.

    Calls that are answered may take longer: a slow server is not an absent one.
    """
    before = _LIMIT.set((asyncio.get_running_loop().time() + seconds, message))
    try:
        return await work
    finally:
        _LIMIT.reset(before)


class _Work:
    """One coroutine that is being run; `urgency`: its calls go before those with a higher number."""

    def __init__(self, executor: Executor, urgency: int, *, is_last_will: bool) -> None:
        self.executor, self.urgency, self.is_last_will = executor, urgency, is_last_will
        self.sleeps = False
        self.task: asyncio.Task[None] | None = None
        self.called: Future[Any] | None = None  # its call, queued or being made

    @property
    def is_over(self) -> bool:
        """Whether it runs only until it would sleep."""
        return self.executor.closed and not self.is_last_will

    async def sleep(self, seconds: float) -> None:
        if self.is_over:
            raise asyncio.CancelledError
        self.sleeps = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.sleeps = False


class _Pool(StandardExecutor):
    """Threads that make blocking calls, the most urgent first, and that do not keep a process alive."""

    def __init__(self, threads: int) -> None:
        self._calls: PriorityQueue[tuple[int, int, Future[Any] | None, Callable[[], Any]]] = PriorityQueue()
        self._numbers = count()
        self._threads = threads
        for number in range(threads):
            Thread(target=self._run, name=f"v6flow-call-{number}", daemon=True).start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """See `concurrent.futures.Executor`; the urgency is that of the coroutine which calls this."""
        work, future = _WORK.get(), Future[T]()
        urgency = 0
        if work is not None:
            work.called, urgency = future, UNIMPORTANT if work.is_over else work.urgency
        self._calls.put((urgency, next(self._numbers), future, partial(fn, *args, **kwargs)))
        return future

    def end(self) -> None:
        """End the threads once what was submitted before is done; never waits for them."""
        for _ in range(self._threads):
            self._calls.put((1_000, next(self._numbers), None, bool))

    def _run(self) -> None:
        while True:
            _, _, future, function = self._calls.get()
            if future is None:
                return
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001  who waits for it raises it
                    future.set_exception(error)


class Executor:
    """Runs coroutines that use `call` and `sleep` of this module.

    What one raises goes to `failed`. Its threads do not keep a process alive.
    """

    def __init__(self, threads: int, failed: Callable[[Exception], None]) -> None:
        self.closed = False
        self.pool = _Pool(threads)
        self._failed = failed
        self._at_work: set[_Work] = set()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ended = Event()
        Thread(target=self._run, name="v6flow-executor", daemon=True).start()

    def send(self, work: Coroutine[Any, Any, object], *, urgency: int = 1, is_last_will: bool = False) -> None:
        """Have it run; a last will is still done while closing. Nothing happens once closed."""
        if self.closed:
            work.close()
        else:
            mine = _Work(self, urgency, is_last_will=is_last_will)
            self._loop.call_soon_threadsafe(self._start, mine, work)

    def close(self, patience: float) -> bool:
        """Do no more but last wills, and wait for those for `patience` seconds; whether all of them are done.

        What is in the midst of a call continues until it would sleep; a call that is still queued is not made.
        """
        if self.closed:
            return True
        self.closed = True
        settled = asyncio.run_coroutine_threadsafe(self._settle(), self._loop)
        try:
            settled.result(patience)
        except FutureTimeoutError:
            return False
        finally:
            self._loop.call_soon_threadsafe(self._end.set)
            self._ended.wait(1.0)
            self.pool.end()
        return True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._end.wait())
            left = [each.task for each in self._at_work if each.task is not None]
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self._loop.close()
            self._ended.set()

    def _start(self, mine: _Work, work: Coroutine[Any, Any, object]) -> None:
        self._at_work.add(mine)
        mine.task = self._loop.create_task(self._do(mine, work))

    async def _do(self, mine: _Work, work: Coroutine[Any, Any, object]) -> None:
        _WORK.set(mine)
        try:
            await work
        except Exception as error:  # noqa: BLE001  what dies in silence would be waited for
            self._failed(error)
        finally:
            self._at_work.discard(mine)

    async def _settle(self) -> None:
        for each in self._at_work:
            if each.is_over and each.sleeps and each.task is not None:
                each.task.cancel()
            elif each.is_over and each.called is not None:
                each.called.cancel()
        while wills := [each.task for each in self._at_work if each.is_last_will and each.task is not None]:
            await asyncio.wait(wills)
