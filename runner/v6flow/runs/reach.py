"""Reaches the federation that a run asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from v6flow.core.checks import soundness
from v6flow.core.federation import EmbeddedFederation
from v6flow.core.server import ServerFederation
from v6flow.errors import FederationError

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from v6flow.backends.base import Access
    from v6flow.core.federation import Federation
    from v6flow.core.language.model import Workflow


def reach(federation: Federation) -> Access:
    """Reach a federation, to be closed by the caller. Raises FederationError, AccessError, UnreachableError."""
    match federation:
        case EmbeddedFederation():
            from v6flow.backends.embedded.access import EmbeddedAccess

            return EmbeddedAccess(federation)
        case ServerFederation():
            from v6flow.backends.vantage6.access import ServerAccess

            return ServerAccess(federation)
        case _:
            assert_never(federation)


def reach_for(workflow: Workflow, federation: Federation | None) -> Access | None:
    """Reach the federation that a workflow needs; None if it needs none. Raises what `reach` does."""
    if not soundness.needs_federation(workflow):
        return None
    if federation is None:
        raise FederationError(
            "this workflow asks organizations, and no federation is named",
            hint="say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION",
        )
    return reach(federation)
