"""Reconciles with the server: looks for what a lost request may have created, until that is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.backends.vantage6.backoff import LOOKS, asked_to_wait, is_away
from v6flow.backends.vantage6.executor import call, sleep
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import RefusedError
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.vantage6.backoff import Backoff
    from v6flow.backends.vantage6.executor import Sleep
    from v6flow.backends.vantage6.records import Task


async def climb(
    look: Callable[[], tuple[Task, ...]],
    moments: tuple[float, ...],
    waits: Backoff,
    *,
    sleep: Sleep = sleep,
) -> tuple[Task, ...]:
    """The tasks that are found at the first of these moments at which there are any.

    Nothing only if the look-ups of all moments, one after the other, were answered and empty: what was committed
    late, while the server was away, is found too. Raises what `look` raises when it is refused, and StrangeError when
    LOOKS answers did not fit the question.
    """
    strange = 0
    while True:
        before = 0.0
        for moment in moments:
            await sleep(moment - before)
            before = moment
            try:
                found = await call(look)
            except StrangeError:
                strange += 1
                if strange >= LOOKS:
                    raise
                await sleep(waits.next())
                break
            except (UnreachableError, RefusedError) as error:
                if not is_away(error):
                    raise
                await sleep(waits.next(asked_to_wait(error)))
                break
            waits.reset()
            if found:
                return found
        else:
            return ()
