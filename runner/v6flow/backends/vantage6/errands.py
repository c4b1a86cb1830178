"""A few threads that do many things which wait in between: each errand yields the seconds until it wants to go on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from threading import Condition, Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Errand: TypeAlias = "Generator[float, None, object]"


@dataclass(slots=True, order=True)
class _Waiting:
    urgency: int
    due: float
    number: int
    errand: Errand = field(compare=False)
    is_last_will: bool = field(compare=False)


class Errands:
    """Does errands, the most urgent (lowest number) of those that are due first.

    What an errand raises goes to `failed`. The threads do not keep a process alive.
    """

    def __init__(
        self, threads: int, failed: Callable[[Exception], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failed = failed
        self._clock = clock
        self._changed = Condition()
        self._waiting: list[_Waiting] = []
        self._working: list[_Waiting] = []
        self._numbers = count()
        self._closed = False
        self._threads = [Thread(target=self._work, name=f"v6flow-errands-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def send(self, errand: Errand, *, urgency: int = 1, after: float = 0.0, is_last_will: bool = False) -> None:
        """Have it done; a last will is still done while closing. Nothing happens once closed."""
        with self._changed:
            if not self._closed:
                self._put(_Waiting(urgency, self._clock() + after, next(self._numbers), errand, is_last_will))

    def close(self, patience: float) -> bool:
        """Do no more but last wills, and wait for those for `patience` seconds; whether all of them are done."""
        with self._changed:
            self._closed = True
            self._waiting = [each for each in self._waiting if each.is_last_will]
            self._changed.notify_all()
            settled = self._changed.wait_for(self._is_settled, patience)
            self._waiting.clear()
            self._changed.notify_all()
            return settled

    def _is_settled(self) -> bool:
        return not any(each.is_last_will for each in (*self._waiting, *self._working))

    def _put(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._changed.notify_all()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            wait: float | None = None
            try:
                wait = next(taken.errand)
            except StopIteration:
                pass
            except Exception as error:  # noqa: BLE001  a thread that dies in silence would be waited for
                self._failed(error)
            with self._changed:
                self._working.remove(taken)
                if wait is not None and (taken.is_last_will or not self._closed):
                    taken.due = self._clock() + wait
                    self._put(taken)
                self._changed.notify_all()

    def _take(self) -> _Waiting | None:
        with self._changed:
            while True:
                now = self._clock()
                due = [each for each in self._waiting if each.due <= now]
                if due:
                    taken = min(due)
                    self._waiting.remove(taken)
                    self._working.append(taken)
                    return taken
                if self._closed and not self._waiting:
                    return None
                soonest = min((each.due for each in self._waiting), default=None)
                self._changed.wait(None if soonest is None else soonest - now)
