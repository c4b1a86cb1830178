"""Reaches the federation that a run asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow import backends
from v6flow.core.planning import dependencies
from v6flow.errors import FederationError

if TYPE_CHECKING:
    from v6flow.backends.base import Access, Federation
    from v6flow.core.language.model import Workflow


def reach_for(workflow: Workflow, federation: Federation | None) -> Access | None:
    """Reach the federation that a workflow needs; None if it needs none. Raises what `backends.reach` does."""
    if not dependencies.needs_federation(workflow):
        return None
    if federation is None:
        raise FederationError(
            "this workflow asks organizations, and no federation is named",
            hint="say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION",
        )
    return backends.reach(federation)
