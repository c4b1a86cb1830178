"""What a plan must know of a federation: who there is, and what holds there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from v6flow.core.policy import NO_LIMITS, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json


class Directory(Struct, frozen=True):
    """The organizations by name, in the federation's order, with the server's ids and who is offline."""

    organizations: tuple[str, ...]
    ids: Mapping[str, int] = field(default_factory=dict)
    offline: tuple[str, ...] = ()
    identity: str = ""
    """What must be the same at a resume: another server, user, collaboration or embedded federation differs here."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    images: tuple[str, ...] | None = None
    """The images that can run here, None if that is not known beforehand."""
    studies: Mapping[str | int, tuple[str, ...]] = field(default_factory=dict)
    """The organizations of each study, by its name and by its id."""
    stores: tuple[str | int, ...] | None = None
    """The names and the ids of the algorithm stores, None if any will do."""
    policy: Policy = NO_LIMITS
