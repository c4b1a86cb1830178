"""Failures as expressions and JSON documents show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v6flow.core.execution.events import Failure
    from v6flow.core.json import Json


def failed(given: Failure | None) -> dict[str, Json]:
    """An organization's failure, as `.failures[name]` shows it."""
    if given is None:
        return {"status": "failed", "message": "", "log_tail": ""}
    return {"status": given.kind, "message": given.message, "log_tail": given.log_tail}


def failure(given: Failure | None) -> dict[str, Json] | None:
    """A failure as `.error` shows it."""
    if given is None:
        return None
    return {
        "kind": given.kind,
        "message": given.message,
        "step": given.step,
        "organization": given.organization,
        "hint": given.hint,
    }
