"""Who may work at once, and who is next."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v6flow.backends.embedded.task_records import TaskRun


class Slots:
    """A number of places to work. Not locked by itself: the server's lock is held by whoever calls.

    A task run that waits for its subtasks gives its place back and takes it again when they have ended, even
    if all places are taken: it never waits for one, or central functions would wait for each other for ever.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: list[tuple[int, int, TaskRun]] = []
        self._order = count()

    def queue(self, run: TaskRun) -> None:
        """It wants to start. Subtasks go first, so that what has begun ends before more begins."""
        heapq.heappush(self._waiting, (-run.task.depth, next(self._order), run))

    def next(self) -> TaskRun | None:
        """The next to start, which now has a place; None if there is none or no place."""
        while self._waiting and self.taken < self.limit:
            run = heapq.heappop(self._waiting)[2]
            if not run.claimed:
                self.take(run)
                return run
        return None

    def take(self, run: TaskRun) -> None:
        """It works."""
        if not run.slot:
            run.slot = True
            self.taken += 1

    def give_back(self, run: TaskRun) -> None:
        """It does not work, or not any more."""
        if run.slot:
            run.slot = False
            self.taken -= 1
