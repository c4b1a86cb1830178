"""Tells people when a server has ceased to answer, and when it is back."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from v6flow.backends.vantage6.backoff import is_away
from v6flow.core.language.units import spell

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.errors import V6flowError

SPARED = 3.0  # seconds without an answer that nobody need hear of


class Outage:
    """Watches the outcome of each request; `say` gets what lasts. Any thread may use it."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._lock = Lock()
        self._since: float | None = None
        self._told = False

    def __call__(self, error: V6flowError | None) -> None:
        """A request came to an answer, or to this error."""
        if error is None:
            self._answered()
        elif is_away(error):
            self._missed(error)

    def _answered(self) -> None:
        if self._since is None:
            return
        with self._lock:
            since, told = self._since, self._told
            self._since, self._told = None, False
        if told and since is not None:
            self._say(f"the server responds again, after {spell(self._clock() - since)}")

    def _missed(self, error: V6flowError) -> None:
        with self._lock:
            if self._since is None:
                self._since = self._clock()
            lasting = not self._told and self._clock() - self._since >= SPARED
            self._told = self._told or lasting
        if lasting:
            self._say(f"{error.message}; the run continues when the server is back")
