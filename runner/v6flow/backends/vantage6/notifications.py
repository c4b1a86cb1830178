"""What the server's events say about when to look at a run: none of them says that its result is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.backends.vantage6.records import COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.vantage6.backoff import Times

SOON = 0.5  # seconds: a run that has started is active soon, and both are seen by one look


class Notifications:
    """Turns events into looks, by the rule that missed nothing and cost least when it was measured.

    A run's end is told twice: by its node (`algorithm_status_change`), then by the server (`status_update`) just
    before the result can be read. `look(run, waits)` is to look after each of these waits until the run has ended.
    """

    def __init__(
        self,
        look: Callable[[int, tuple[float, ...]], None],
        times: Times,
        *,
        dispatched: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`dispatched` gets the parent of a subtask that was created, or whose status a node reports."""
        self._look = look
        self._dispatched = dispatched
        self._times = times
        self._finishing: set[int] = set()

    def status_changed(self, data: Any) -> None:
        """A node reports a run's status."""
        number = _run(data)
        if number is not None and data.get("status") in (COMPLETED, *FAILED):
            self._finishing.add(number)
            self._look(number, self._times.silent_finish)

        self.created(data)

    def created(self, data: Any) -> None:
        """A task was created, or continues; only those that a task run has dispatched have a parent."""
        parent = data.get("parent_id") if isinstance(data, dict) else None
        if isinstance(parent, int) and not isinstance(parent, bool):
            self._dispatched(parent)

    def updated(self, data: Any) -> None:
        """The server is about to save something of a run."""
        number = _run(data)
        if number is None:
            return
        if number in self._finishing:
            self._finishing.discard(number)
            self._look(number, self._times.finishing)
        else:
            self._look(number, (SOON,))


def _run(data: Any) -> int | None:
    number = data.get("run_id") if isinstance(data, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
