"""One thread that sees which runs have ended, by one request for all that are open."""

from __future__ import annotations

import logging
from threading import Condition, Thread, current_thread
from typing import TYPE_CHECKING

from v6flow.backends.vantage6.backoff import LOOKS, Backoff, asked_to_wait, backoff, is_away
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import DeniedError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.vantage6.backoff import Times
    from v6flow.backends.vantage6.calls import Api
    from v6flow.backends.vantage6.open_tasks import OpenTask
    from v6flow.backends.vantage6.records import Run

LOG = logging.getLogger(__name__)
SHARE = 3  # of our waits to our polls: at most a quarter of the time the server works for us
LIVE_SHARE = 20


class Watcher:
    """Looks at open runs: soon after something happened, then seldom and more seldom.

    `watched` gives the runs to look at, by their ids; `note` gets those that are still open; `confirm` is to
    read one that the list does not show, or shows as ended. What stops it goes to `failed`, what people should know
    to `say`.
    """

    def __init__(
        self,
        api: Api,
        times: Times,
        *,
        watched: Callable[[], dict[int, OpenTask]],
        note: Callable[[OpenTask, Run], None],
        confirm: Callable[[OpenTask, int], None],
        failed: Callable[[Exception], None],
        say: Callable[[str], None],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._api = api
        self._times = times
        self._watched, self._note, self._confirm, self._failed, self._say = watched, note, confirm, failed, say
        self._unheard: set[int] = set()  # runs with a status that we do not know, as was said
        self._clock = clock
        self._pace = Backoff(times.poll, times.slowest_poll, growth=1.5, random=random)
        self._away = backoff(times, random)
        self._changed = Condition()
        self._due: float | None = None
        self._busy = 0.0  # no poll before, however much happens
        self._may_list = True
        self._strange = 0  # lists, one after the other, that did not fit what is known
        self._live = False
        self._closed = False
        self._thread = Thread(target=self._run, name="v6flow-watcher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at once."""
        self._look_after(0.0)

    def soon(self) -> None:
        """Look soon: there is something new, of which events may have come before it was known."""
        self._look_after(self._times.poll)

    def quicken(self) -> None:
        """Something happened: more may soon."""
        self._look_after(self._times.live_poll if self._live else self._times.poll)

    def live(self, *, now: bool) -> None:
        """Whether a socket tells what happens. Either way everything is looked at once."""
        self._live = now
        self.wake()

    def close(self, patience: float) -> None:
        """End, and wait for that for `patience` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if current_thread() is not self._thread:
            self._thread.join(patience)

    def _look_after(self, wait: float) -> None:
        with self._changed:
            self._pace.reset()
            due = max(self._clock() + wait, self._busy)
            self._due = due if self._due is None else min(self._due, due)
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait():
            try:
                wait = self.poll()
            except Exception as error:  # noqa: BLE001  a thread that dies in silence would be waited for
                self._failed(error)
                return
            with self._changed:
                if wait is not None:
                    due = self._clock() + wait
                    self._due = due if self._due is None else min(self._due, due)

    def _wait(self) -> bool:
        """Until it is time to look; False when closed."""
        with self._changed:
            while not self._closed:
                wait = None if self._due is None else self._due - self._clock()
                if wait is not None and wait <= 0:
                    self._due = None
                    return True
                self._changed.wait(wait)
            return False

    def poll(self) -> float | None:
        """Look once; the seconds until the next time, None if there is nothing to look at."""
        watched = self._watched()
        if not watched:
            return None
        began = self._clock()
        try:
            listed = self._list(watched)
        except StrangeError as error:
            self._strange += 1
            if self._strange < LOOKS:
                return self._away.next()
            self._may_list = False
            self._say(f"the server's list of open runs is not used, since {error.message}; each run is read by itself")
            listed = {}
        except Exception as error:
            if not is_away(error):
                raise
            LOG.info("the server is away: %s", error)
            return self._away.next(asked_to_wait(error))
        self._strange = 0
        self._away.reset()
        took = self._clock() - began
        for number, asked in watched.items():
            run = listed.get(number)
            if run is None or run.phase in ("completed", "failed"):
                self._confirm(asked, number)
            else:
                self._note(asked, run)
                if run.phase == "unheard" and number not in self._unheard:
                    self._unheard.add(number)
                    told = f"run {number} has a status that v6flow does not know ({run.status or 'none'})"
                    self._say(f"{told}, and is waited for")
        if self._live:
            wait = max(self._pace.next(longest=self._times.slowest_live_poll), self._times.live_poll, LIVE_SHARE * took)
        else:
            wait = max(self._pace.next(), SHARE * took)
        self._busy = self._clock() + SHARE * took
        return wait

    def _list(self, watched: dict[int, OpenTask]) -> dict[int, Run]:
        """The open runs that this user's list shows, nothing if it would show none of these."""
        if not self._may_list or all(number in asked.hidden for number, asked in watched.items()):
            return {}
        try:
            return {run.id: run for run in self._api.open_runs(patience=0.0)}
        except (DeniedError, TooLargeError):
            self._may_list = False
        except RefusedError as error:
            if error.said is None:
                raise
            self._may_list = False
        return {}
