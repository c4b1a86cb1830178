"""What can still be judged of a workflow that its schema refuses, so that all its problems are told at once."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from v6flow.core.language import model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Workflow
    from v6flow.core.language.problem import Position, Problem

_SECTIONS = ("params", "defaults", "steps", "finally", "outputs")


def sound_part(
    document: Document,
    problems: Iterable[Problem],
    files: Mapping[str, Workflow] | None = None,
    included: Sequence[Document] = (),
) -> Workflow | None:
    """The workflow without the steps, params, defaults and outputs that have problems; None if nothing is left of it.

    What was left out is in `doubtful`: its names are known, and nothing is said of what uses them.
    """
    raw = document.value
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), dict):
        return None
    entries = _entries(document, raw)
    starts = [start for start, _, _ in entries]
    doubtful = set()
    for problem in problems:
        index = bisect_right(starts, problem.position) - 1
        if index >= 0:
            doubtful.add(entries[index][1:])
    left: dict[str, Any] = {}
    for key, value in raw.items():
        if key in _SECTIONS and isinstance(value, dict):
            left[key] = {name: item for name, item in value.items() if (key, name) not in doubtful}
        elif (key, "") not in doubtful:
            left[key] = value
    return model.parse(document, left, frozenset(doubtful), files, included)


def _entries(document: Document, raw: dict[str, Any]) -> list[tuple[Position, str, str]]:
    """Where each entry of the file begins: (place, section, name); no name for what has no entries of its own."""
    entries = []
    for key, value in raw.items():
        entries.append((document.key_position((key,)), key, ""))
        if key in _SECTIONS and isinstance(value, dict):
            entries += [(document.key_position((key, name)), key, name) for name in value]
    return sorted(entries)
