"""The settings of a step as a preview shows them: databases, quorum, attempts, smallest counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import disclosure
from v6flow.core.language import units
from v6flow.core.views.base import View

if TYPE_CHECKING:
    from v6flow.core.json import Json
    from v6flow.core.kinds import TaskPlan, settings
    from v6flow.core.views.known import Reading


class PreviewDatabase(View, frozen=True):
    """A database that a task uses.

    label: its label at the nodes
    query (with a query): the query
    sheet_name (of a spreadsheet): the sheet
    preprocessing (with preprocessing): what is done with it first
    arguments (with arguments): further arguments
    """

    OPTIONAL = ("query", "sheet_name", "preprocessing", "arguments")
    label: str
    query: str | None
    sheet_name: str | None
    preprocessing: list[Json] | None
    arguments: dict[str, Json] | None


class PreviewQuorum(View, frozen=True):
    """How many must answer.

    min: how many must answer: a number, a share, or `all`
    required: who must be among them
    wait: `all`, or `quorum`: nobody is waited for once enough have answered
    """

    min: Json
    required: tuple[str, ...]
    wait: str


class PreviewRetry(View, frozen=True):
    """How often it is tried.

    attempts: how often at the most
    delay (with attempts): seconds before the second attempt
    backoff (with attempts): the factor of each further delay
    on (with attempts): after which failures
    max_delay (with a longest delay): the longest delay
    """

    OPTIONAL = ("delay", "backoff", "on", "max_delay")
    attempts: int
    delay: float | None = None
    backoff: float | None = None
    on: tuple[str, ...] | None = None
    max_delay: float | None = None

    def lines(self) -> list[str]:
        return [f"up to {self.attempts} attempts, after {', '.join(self.on or ())}"] if self.attempts > 1 else []


class SmallestCount(View, frozen=True):
    """The smallest count of a result.

    min_count: the smallest count
    count: the expression that counts
    also (with several): further such expressions
    """

    OPTIONAL = ("also",)
    min_count: int
    count: Json
    also: list[Json] | None


def database(choice: settings.DatabaseChoice) -> PreviewDatabase:
    preprocessing: list[Json] = [dict(each) for each in choice.preprocessing]
    arguments = dict(choice.arguments)
    return PreviewDatabase(choice.label, choice.query, choice.sheet_name, preprocessing or None, arguments or None)


def retry(retry: settings.Retry) -> PreviewRetry:
    if retry.attempts <= 1:
        return PreviewRetry(retry.attempts)
    longest = None if retry.max_delay == units.LONGEST else retry.max_delay
    return PreviewRetry(retry.attempts, retry.delay, retry.backoff, tuple(retry.on), longest)


def smallest_count(step: TaskPlan, reading: Reading) -> SmallestCount | None:
    least = disclosure.least(reading.policy, step)
    if least is None:
        return None
    first, *others = [each.source for each in disclosure.counts(reading.policy, step)]
    return SmallestCount(least, first, others or None)


def limits(timeout: float | None, cache: float | None) -> list[str]:
    told = [] if timeout is None else [f"within {units.spell(timeout)}"]
    return told if cache is None else [*told, f"reuses a result that is no older than {units.spell(cache)}"]
