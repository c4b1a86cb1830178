"""The frontier of a run: which steps can begin or advance, derived from its state and kept up event by event."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field

from v6flow.core.execution.state import SETTLED
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from v6flow.core.execution.events import Time
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan


class Level(Struct):
    """Steps that begin together: those of the file, or those of one iteration or item. `open` are not yet settled."""

    steps: tuple[str, ...]
    open: int = 0


class Inside(Struct):
    """The iterations or items of a step whose nested steps can begin, by number; `settled`: nothing of them is open.

    `last` is the number that was opened last.
    """

    numbers: set[int] = field(default_factory=set)
    settled: dict[int, None] = field(default_factory=dict)
    last: int = 0


class Frontier:
    """What of a plan can begin or advance, by the state of the run.

    `waiting`, `levels` and `inside` follow from the state alone: a frontier that is made anew has the same. The rest is
    what to look at next: `ready` steps can begin, `touched` ones may have something to do, and `queued` ones wait for
    one of the places for child processes, of which `placed` have one. `continued` were at work before.
    """

    def __init__(self, plan: Plan, state: RunState) -> None:
        self._plan = plan
        self._state = state
        self._final = state.ending is not None
        self.waiting: dict[str, int] = {}  # each step of an open level: how many that it needs are not settled
        self.levels: dict[str, Level] = {}  # by the prefix of their steps
        self.inside: dict[str, Inside] = {}  # of each step at work that has nested ones
        self.ready: deque[str] = deque()
        self.touched: dict[str, None] = {}
        self.timers: list[tuple[Time, str]] = []
        self.queued: dict[str, None] = {}
        self.placed: set[str] = set()
        self.continued: list[str] = []
        self._open("")

    def can_begin(self) -> list[str]:
        """The steps that have not begun and need nothing that is not settled."""
        return [
            name for name, needs in self.waiting.items() if not needs and self._state.step(name).status == "pending"
        ]

    # -- what kinds of steps ask for

    def begin(self, name: str) -> None:
        """Have a step begin, or begin again that was interrupted before it had anything to continue with."""
        self.ready.append(name)

    def touch(self, name: str) -> None:
        """Have a step advance."""
        if name in self.waiting:
            self.touched[name] = None

    def wake(self, name: str, at: Time) -> None:
        """Have a step advance at a time."""
        heapq.heappush(self.timers, (at, name))

    def queue(self, name: str) -> None:
        """Have a step start once there is a free place for its child process."""
        if name not in self.placed:
            self.queued[name] = None

    def free(self, name: str) -> None:
        """Take note that the child process of a step has ended."""
        self.placed.discard(name)

    def advance(self, name: str) -> None:
        """Have a step advance, and open the iterations or items in it whose turn it is."""
        self.touch(name)
        step = self._plan.step(name)
        kind = STEP_KINDS[step.kind].execution
        if not kind.nests or name not in self.waiting:
            return
        state = self._state.step(name)
        inside = self.inside.get(name)
        if inside is None:
            inside = self.inside[name] = Inside()
            for number in kind.levels_at_work(step, state, self._state):
                inside.numbers.add(number)
            for number in sorted(inside.numbers):
                self._open(ids.inside(name, number))
        while (number_ := kind.next_level(step, state, inside)) is not None:
            inside.last = number_
            inside.numbers.add(number_)
            self._open(ids.inside(name, number_))

    def close(self, name: str, number: int) -> None:
        """Forget an iteration or item that has ended."""
        inside = self.inside.get(name)
        if inside is not None and number in inside.numbers:
            inside.numbers.discard(number)
            inside.settled.pop(number, None)
            self._close(ids.inside(name, number))

    def settled_inside(self, name: str) -> list[int]:
        """The iterations or items of a step of which nothing is open any more, but which have not ended."""
        inside = self.inside.get(name)
        return list(inside.settled) if inside is not None else []

    # -- what happens

    def settle(self, name: str) -> None:
        """Take note that a step has settled."""
        prefix = ids.prefix(name)
        level = self.levels[prefix]
        level.open -= 1
        self._leave(name)
        for dependent in self._plan.graph.dependents(ids.definition(name)):
            other = prefix + ids.short(dependent)
            if other in self.waiting:
                self.waiting[other] -= 1
                if not self.waiting[other] and self._state.step(other).status == "pending":
                    self.begin(other)
        if not level.open:
            self._settled(prefix)

    def expire(self, now: Time) -> None:
        """Touch the steps whose time has come."""
        while self.timers and self.timers[0][0] <= now:
            self.touch(heapq.heappop(self.timers)[1])

    def _open(self, prefix: str) -> None:
        """Enter the steps of one group, whether they begin or continue."""
        within = ids.definition(prefix[:-1]) if prefix else ""
        inside = (each for each in self._plan.nested(within) if self._plan.steps[each].common.final is self._final)
        names = tuple(prefix + ids.short(each) for each in inside)
        level = self.levels[prefix] = Level(names)
        for name in names:
            if self._state.step(name).status not in SETTLED:
                level.open += 1
                self._enter(name, prefix)
        if not level.open:
            self._settled(prefix)

    def _enter(self, name: str, prefix: str) -> None:
        self.waiting[name] = sum(
            self._state.step(prefix + ids.short(other)).status not in SETTLED
            for other in self._plan.needs[ids.definition(name)]
            if self._plan.steps[other].common.final is self._final  # those that the end of the run cut off never settle
        )
        status = self._state.step(name).status
        if status == "running":
            self.continued.append(name)
            self.advance(name)
        elif status == "waiting":
            self.touch(name)
        elif not self.waiting[name]:
            self.begin(name)

    def _settled(self, prefix: str) -> None:
        """Have the step around advance in whose iteration or item nothing is open any more."""
        if prefix:
            name, number = ids.around(prefix)
            self.inside[name].settled[number] = None
            self.touch(name)

    def _close(self, prefix: str) -> None:
        for name in self.levels.pop(prefix).steps:
            self._leave(name)

    def _leave(self, name: str) -> None:
        self.waiting.pop(name, None)
        self.queued.pop(name, None)
        self.placed.discard(name)
        if name in self.inside:
            for number in self.inside.pop(name).numbers:
                self._close(ids.inside(name, number))
