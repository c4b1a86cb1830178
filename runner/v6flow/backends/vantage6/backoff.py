"""How long to wait before looking or trying again: longer each time, and never many clients all at once."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from v6flow.backends.vantage6.refusals import NotSentError, RefusedError, UntrustedError
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
LOOKS = 4  # at an answer that does not fit the request, or is not there yet, before that counts


class Times(Struct, frozen=True):
    """The seconds that a backend waits, so that tests need not."""

    ladder: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    """When to look for a task whose creation came to no answer, counted from then."""
    runs: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """When to look again for runs that a task should have: a server commits the task before them."""
    poll: float = 0.25
    slowest_poll: float = 10.0
    slowest_live_poll: float = 60.0  # while a live socket tells of what happens
    live_poll: float = 5.0
    finishing: tuple[float, ...] = (0.005, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4)
    """When to look whether a result is there that was announced, each after the one before."""
    silent_finish: tuple[float, ...] = (0.25, 0.25, 0.5, 1.0)
    """The same, where only half of the announcement has come: the other half, if it comes, has better times."""
    subtasks: float = 0.5  # before a look at what a task has dispatched, of which an event told: more may come
    retry: float = 0.5
    longest_retry: float = 30.0
    longest_retry_after: float = 120.0  # of what a server asks for
    farewell: float = 10.0  # for what must still be told the server when closing
    last_look: float = 30.0  # how long a server may be away when a deadline passes, before the run is let go of


class Backoff:
    """Waits that grow by `growth` up to `longest`, each cut by up to half at random."""

    def __init__(
        self,
        first: float,
        longest: float,
        *,
        growth: float = 2.0,
        longest_asked: float = 120.0,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._first, self._longest, self._growth, self._longest_asked = first, longest, growth, longest_asked
        self._random = random
        self._now = first

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._now = self._first

    def next(self, asked: float | None = None, *, longest: float | None = None) -> float:
        """The next wait; not shorter than a server asked for, as far as that is reasonable."""
        most = self._longest if longest is None else longest
        wait = min(self._now, most) * (0.5 + 0.5 * self._random())
        self._now = min(self._now * self._growth, most)
        return max(wait, min(asked, self._longest_asked)) if asked is not None else wait


def backoff(times: Times, random: Callable[[], float] = _random.random) -> Backoff:
    """The waits of one who tries again."""
    return Backoff(times.retry, times.longest_retry, longest_asked=times.longest_retry_after, random=random)


def is_away(error: Exception) -> bool:
    """Whether an error of a read says that the server is away: later there may be an answer.

    Where something else than the API refuses, the API is away: a proxy has pages of its own for that.
    """
    if isinstance(error, RefusedError):
        return error.said is None and not 300 <= error.status < 400
    return isinstance(error, UnreachableError) and not isinstance(error, UntrustedError)


def asked_to_wait(error: Exception) -> float | None:
    """How long the server asks us to wait."""
    found = getattr(error, "retry_after", None)
    return found if isinstance(found, float) else None


def not_sent_again(error: NotSentError, waits: Backoff) -> float:
    """The wait before what has certainly not arrived is sent again. Raises the error if that is of no use."""
    if isinstance(error, UntrustedError):
        raise error
    return waits.next(asked_to_wait(error))
