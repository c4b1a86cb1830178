"""Settings of steps: their defaults, their values as a plan has them, and how those are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from v6flow.core import expressions
from v6flow.core.kinds.fields import EACH, PARAMS, STEPS, Field
from v6flow.core.language import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.language.problem import Path
    from v6flow.core.policy import Policy

SETTINGS: dict[str, Json] = {
    "image": None,
    "databases": ["default"],
    "organizations": None,
    "isolation": "organization",
    "store": None,
    "timeout": "24h",
    "retry": 1,
    "quorum": "all",
    "disclosure": None,
}
"""The settings that `defaults` may give, with what is built in (None: there is nothing built in)."""

BESIDE = ("quorum", "retry", "timeout", "disclosure")  # settings that are beside `task:`, the others inside it
_MOST_BACKOFF = 1_000_000
RETRIED = ("start_failed", "unknown")  # kinds of failure that may pass by themselves

LATE = ("organizations", "quorum")
"""The settings that steps may decide, so that they need not be known before anything runs."""


class Retry(Struct, frozen=True):
    """How often an organization is asked in all, and the seconds between."""

    attempts: int = 1
    delay: float = 0.0
    backoff: float = 1.0
    max_delay: float = units.LONGEST
    on: tuple[str, ...] = RETRIED

    def wait(self, failed: int) -> float:
        """The seconds to wait after the given number of failed attempts (1 or more)."""
        if not self.delay:
            return 0.0
        try:
            return min(self.delay * self.backoff ** (failed - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


class Quorum(Struct, frozen=True):
    """Who must answer; `minimum` is `all`, a number, `P%`, or an expression that gives one of these."""

    minimum: int | str | Template = "all"
    required: tuple[str, ...] = ()
    wait: bool = True  # for all, until the deadline; else only until the quorum is met

    def needed(self, minimum: Json, asked: int) -> int:
        """How many of those asked must answer. Raises ValueError for what is not a quorum."""
        if minimum == "all":
            return asked
        if isinstance(minimum, str) and minimum.endswith("%"):
            try:
                percent = float(minimum[:-1])
            except ValueError:
                percent = math.nan
            if not 0 < percent <= 100:
                raise ValueError(f"{minimum!r} is not a percentage above 0% and up to 100%")
            return math.ceil(asked * percent / 100 - 1e-9)
        if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 1:
            raise ValueError(f"a quorum is all, a number from 1, or a percentage, not {shown(minimum)}")
        if minimum > asked:
            raise ValueError(f"the quorum is {minimum}, but only {asked} {'is' if asked == 1 else 'are'} asked")
        return minimum


COUNT = expressions.compile("{{ result.count }}")
"""How many a result is about, where nothing else is said."""


class Disclosure(Struct, frozen=True):
    """How many a result must be about, and where it says how many those are; None: what the federation demands."""

    min_count: int | None = None
    count: Template | None = None


class DatabaseChoice(Struct, frozen=True):
    """A database that a task uses at each organization, by the label the node gives it."""

    label: str
    query: str | None = None
    sheet_name: str | None = None
    preprocessing: tuple[Mapping[str, Json], ...] = ()
    arguments: Mapping[str, Json] = field(default_factory=dict)


def setting_fields(key: str, path: Path, template: Template) -> Iterator[Field]:
    """The places of one setting where expressions may be; of a quorum, steps may decide the minimum only."""
    if key == "quorum" and isinstance(template.source, dict):
        for part, value in template.source.items():
            yield Field((*path, part), expressions.compile(value), STEPS if part == "min" else PARAMS)
    elif key == "disclosure" and isinstance(template.source, dict):
        for part, value in template.source.items():
            yield Field((*path, part), expressions.compile(value), EACH if part == "count" else PARAMS)
    else:
        yield Field(path, template, STEPS if key in LATE else PARAMS)


def parse_disclosure(value: Any, policy: Policy) -> Disclosure:
    """How many results must be about. Raises ValueError."""
    if value is None:
        return Disclosure()
    least = value.get("min_count")
    if least is None and policy.min_count is None:
        raise ValueError("disclosure says no min_count, and the federation demands none: it would refuse nothing")
    if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 1):
        raise ValueError(f"min_count is a whole number from 1, not {shown(least)}")
    count = value.get("count")
    return Disclosure(least, expressions.compile(count) if isinstance(count, str) else count)


def parse_quorum(value: Json | Template) -> Quorum:
    if isinstance(value, dict):
        minimum: Any = value.get("min", "all")
        return Quorum(minimum, tuple(value.get("required", ())), value.get("wait", "all") == "all")
    if isinstance(value, (int, str, expressions.Template)) and not isinstance(value, bool):
        return Quorum(value)
    raise ValueError(f"a quorum is all, a number, a percentage or a mapping, not {shown(value)}")


def parse_retry(value: Json | Template) -> Retry:
    if isinstance(value, bool) or not isinstance(value, (int, dict)):
        raise ValueError(f"retry is a number of attempts or a mapping, not {shown(value)}")
    if isinstance(value, int):
        value = {"attempts": value}
    attempts, backoff = value.get("attempts", 1), value.get("backoff", 1)
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise ValueError(f"attempts is a number from 1, not {shown(attempts)}")
    if isinstance(backoff, bool) or not isinstance(backoff, (int, float)) or backoff < 1:
        raise ValueError(f"backoff is a number from 1, not {shown(backoff)}")
    if backoff > _MOST_BACKOFF:
        raise ValueError(f"backoff is at most {_MOST_BACKOFF}: a wait that grows faster has no end")
    return Retry(
        attempts,
        delay=units.seconds(str(value.get("delay", "0s"))),
        backoff=float(backoff),
        max_delay=units.seconds(str(value["max_delay"])) if "max_delay" in value else units.LONGEST,
        on=tuple(value.get("on", RETRIED)),
    )


def parse_timeout(value: Json | Template) -> float | None:
    """The seconds of a timeout, None for `none`. Raises ValueError for what is no duration."""
    return None if value == "none" else units.seconds(str(value))


def parse_cache(value: Json | Template) -> float | None:
    """How many seconds a result may be reused, None for `none`. Raises ValueError for what is no such duration."""
    longest = parse_timeout(value)
    if longest == 0:
        raise ValueError(f"nothing is as new as {value}: write none, or a longer duration")
    return longest


def parse_databases(value: Json | Template) -> tuple[DatabaseChoice, ...]:
    if not isinstance(value, list):
        raise ValueError(f"databases is a list, not {shown(value)}")
    return tuple(_database(item) for item in value)


def _database(item: Any) -> DatabaseChoice:
    if isinstance(item, str):
        return DatabaseChoice(item)
    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        raise ValueError(f"a database is a label or a mapping with a label, not {shown(item)}")
    return DatabaseChoice(
        item["label"],
        query=item.get("query"),
        sheet_name=item.get("sheet_name"),
        preprocessing=tuple(item.get("preprocessing", ())),
        arguments=item.get("arguments", {}),
    )


def shown(value: object) -> str:
    if isinstance(value, expressions.Template):
        return "something known only later"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
