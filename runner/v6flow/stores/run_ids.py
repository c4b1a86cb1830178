"""The ids of runs: how they are made, and which run is meant by the beginning of one."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from v6flow.core.language.words import suggestion
from v6flow.core.patterns import pattern
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME = 128  # with what SQLite appends, well below what file systems take
MAX_SLUG = 60
_LISTED = 10
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIME = pattern(r"-(\d{8}-\d{4})-[a-z0-9]+$")


def run_id(workflow: str, at: float, random4: str) -> str:
    """An id such as `average-20261121-0523-k3f9`; `at` is in seconds since 1970 UTC."""
    if not re.fullmatch(r"[a-z0-9]{4}", random4):
        raise ValueError(f"four lower-case letters or digits are needed, not {random4!r}")
    return f"{run_prefix(workflow)}{datetime.fromtimestamp(at, timezone.utc):%Y%m%d-%H%M}-{random4}"


def run_prefix(workflow: str) -> str:
    """What the ids of all runs of a workflow begin with; those of others may begin so too."""
    plain = unicodedata.normalize("NFKD", workflow).encode("ascii", "ignore").decode("ascii").lower()
    return (re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG].strip("-") or "run") + "-"


def time_of(run: str) -> float | None:
    """The minute in an id (seconds since 1970 UTC); None if there is none."""
    found = _TIME.search(run)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%d-%H%M").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def check_id(name: str) -> str:
    """The id of a run, or the start of one. Raises UsageError unless it is a plain name."""
    if len(name) > MAX_NAME or ".." in name or _NAME.fullmatch(name) is None:
        hint = "an id has letters, digits, `.`, `_` and `-`"
        raise UsageError(f"{name[:MAX_NAME]!r} is not the id of a run", hint=hint)
    return name


def choose(prefix: str | None, names: Sequence[str], store: str) -> str:
    """Of the ids in a store, the newest first, the one that is this or starts like this; None: the newest.

    Raises UsageError for none and for several.
    """
    if prefix is not None and check_id(prefix) in names:
        return prefix
    if not names:
        raise UsageError(f"no runs in {store}", hint="look elsewhere with `--store FOLDER` or V6FLOW_STORE")
    if prefix is None:
        return names[0]
    matching = [name for name in names if name.startswith(prefix)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"several runs start with {prefix!r}: {_list(matching)}", hint="give more of the id")
    hint = suggestion(prefix, names, cutoff=0.4) or f"there are: {_list(names)}"
    raise UsageError(f"no run starts with {prefix!r} in {store}", hint=hint)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
