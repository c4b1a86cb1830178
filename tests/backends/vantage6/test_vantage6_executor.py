"""The executor of a server's backend: urgency, what closing ends, and threads that keep no process alive."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from v6flow.backends.vantage6.executor import Executor, bounded, call, sleep
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30.0


@pytest.fixture
def failures() -> queue.SimpleQueue[Exception]:
    return queue.SimpleQueue()


@pytest.fixture
def executor(failures: queue.SimpleQueue[Exception]) -> Iterator[Executor]:
    made = Executor(1, failures.put)
    yield made
    made.close(0.0)


def blocked(executor: Executor) -> Event:
    """Keep its only thread busy until the event is set."""
    busy, gate = Event(), Event()

    def wait() -> None:
        busy.set()
        gate.wait(PATIENCE)

    executor.send(call(wait))
    assert busy.wait(PATIENCE)
    return gate


def test_the_most_urgent_call_is_made_first(executor: Executor) -> None:
    gate = blocked(executor)
    made: queue.SimpleQueue[int] = queue.SimpleQueue()
    queued = [Event() for _ in range(3)]

    async def work(urgency: int, is_queued: Event) -> None:
        asyncio.get_running_loop().call_soon(is_queued.set)
        await call(lambda: made.put(urgency))

    for urgency, is_queued in zip((2, 0, 1), queued, strict=True):
        executor.send(work(urgency, is_queued), urgency=urgency)
        assert is_queued.wait(PATIENCE)
    gate.set()
    assert [made.get(timeout=PATIENCE) for _ in range(3)] == [0, 1, 2]


def test_what_a_coroutine_raises_is_reported(executor: Executor, failures: queue.SimpleQueue[Exception]) -> None:
    def fail() -> None:
        raise ValueError("broken")

    executor.send(call(fail))
    assert str(failures.get(timeout=PATIENCE)) == "broken"


def test_many_wait_on_one_thread(executor: Executor) -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def work(number: int) -> None:
        await sleep(0.01)
        done.put(number)

    for number in range(1000):
        executor.send(work(number))
    assert sorted(done.get(timeout=PATIENCE) for _ in range(1000)) == list(range(1000))


def test_closing_ends_what_sleeps_and_waits_for_a_last_will() -> None:
    failures: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    executor = Executor(2, failures.put)
    ended: list[str] = []
    sleeping = Event()

    async def sleeper() -> None:
        try:
            sleeping.set()
            await sleep(1000.0)
        finally:
            ended.append("sleeper")

    async def will() -> None:
        await sleep(0.01)
        await call(lambda: ended.append("will"))

    executor.send(sleeper())
    assert sleeping.wait(PATIENCE)
    executor.send(will(), is_last_will=True)
    assert executor.close(PATIENCE)
    assert sorted(ended) == ["sleeper", "will"]
    assert failures.empty()


def test_closing_lets_a_call_end_and_what_follows_it_until_it_would_sleep() -> None:
    """A task that is being created while a run is released is known to who kills it."""
    executor = Executor(2, lambda error: None)
    gate, calls = Event(), Event()
    known: list[str] = []

    def create() -> str:
        calls.set()
        gate.wait(PATIENCE)
        return "task 1"

    async def ask() -> None:
        known.append(await call(create))
        await sleep(0.0)
        known.append("went on")

    async def kill() -> None:
        while not executor.closed:
            await sleep(0.001)
        gate.set()
        while not known:
            await sleep(0.001)

    executor.send(ask())
    assert calls.wait(PATIENCE)
    executor.send(kill(), is_last_will=True)
    assert executor.close(PATIENCE)
    assert known == ["task 1"]


def test_a_last_will_that_takes_too_long_is_not_waited_for(executor: Executor) -> None:
    gate = blocked(executor)
    executor.send(call(lambda: None), is_last_will=True)
    assert not executor.close(0.05)
    gate.set()


def test_nothing_is_done_once_closed(executor: Executor) -> None:
    done: list[int] = []
    executor.close(PATIENCE)
    executor.send(call(lambda: done.append(1)))
    assert not done


def test_a_call_that_waits_for_a_thread_when_closed_is_not_made(failures: queue.SimpleQueue[Exception]) -> None:
    """What is to be killed is not kept waiting by what nobody will hear of."""
    executor = Executor(1, failures.put)
    gate, queued, ended = blocked(executor), Event(), Event()
    made: list[str] = []

    async def reader() -> None:
        asyncio.get_running_loop().call_soon(queued.set)
        try:
            await call(lambda: made.append("read"))
        finally:
            ended.set()

    executor.send(reader(), urgency=0)
    assert queued.wait(PATIENCE)
    executor.send(call(lambda: made.append("killed")), urgency=1, is_last_will=True)
    closing = Thread(target=executor.close, args=(PATIENCE,))
    closing.start()
    assert ended.wait(PATIENCE)
    gate.set()
    closing.join(PATIENCE)
    assert made == ["killed"]


def test_last_wills_go_before_what_is_in_the_midst_of_a_call(failures: queue.SimpleQueue[Exception]) -> None:
    executor = Executor(1, failures.put)
    busy, gate, reads = Event(), Event(), Event()
    made: list[str] = []

    def first() -> None:
        busy.set()
        gate.wait(PATIENCE)

    async def reader() -> None:
        await call(first)
        asyncio.get_running_loop().call_soon(reads.set)
        await call(lambda: made.append("read"))

    async def killer(kill: Callable[[], object]) -> None:
        while not executor.closed:
            await sleep(0.001)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await call(kill)

    executor.send(reader(), urgency=0)
    assert busy.wait(PATIENCE)
    executor.send(killer(lambda: reads.wait(PATIENCE)), urgency=2, is_last_will=True)
    executor.send(killer(lambda: made.append("killed")), urgency=3, is_last_will=True)
    assert executor.close(PATIENCE)
    assert made[:1] == ["killed"]


def test_what_would_wait_too_long_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="it is away"):
        asyncio.run(bounded(sleep(1000.0), 500.0, "it is away"))


def test_calls_that_are_answered_may_take_longer() -> None:
    async def work() -> str:
        await call(lambda: None)
        return await call(lambda: "answered")

    assert asyncio.run(bounded(work(), -1.0, "it is away")) == "answered"


def test_a_call_that_hangs_does_not_keep_the_process_alive() -> None:
    code = (
        "import threading\n"
        "from v6flow.backends.vantage6.executor import Executor, call\n"
        "busy = threading.Event()\n"
        "def hang():\n"
        "    busy.set()\n"
        "    threading.Event().wait()\n"
        "made = Executor(4, print)\n"
        "made.send(call(hang))\n"
        "busy.wait()\n"
        "made.close(0.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
