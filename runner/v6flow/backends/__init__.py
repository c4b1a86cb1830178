"""Backends: where task runs happen. Each is a folder here, or a package that declares an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow import plugins
from v6flow.plugins import PluginError

if TYPE_CHECKING:
    from v6flow.backends.base import Access, Federation

GROUP = "v6flow.backends"
"""The group of entry points in which other packages declare backends, by the names that federation files use."""

BACKENDS = {
    "embedded": "v6flow.backends.embedded.configuration:EmbeddedFederation",
    "vantage6": "v6flow.backends.vantage6.configuration:ServerFederation",
}
"""The `Federation` of each built-in backend as `module:name`, by the name that federation files use."""


def find(name: str) -> type[Federation] | None:
    """The `Federation` of a backend, by the name in a federation file; None if there is none of that name.

    Raises PluginError if another package declares it and it cannot be used.
    """
    from v6flow.backends.base import Federation, imported

    found: object = imported(BACKENDS[name]) if name in BACKENDS else plugins.load(GROUP, name)
    if found is None or (isinstance(found, type) and issubclass(found, Federation) and found.backend == name):
        return found
    raise PluginError(f"the entry point {name} in {GROUP} is no Federation (v6flow.backends.base) of that name")


def known() -> list[str]:
    """The names of all backends: the built-in ones, then those of other packages."""
    return list(dict.fromkeys([*BACKENDS, *plugins.names(GROUP)]))


def reach(federation: Federation) -> Access:
    """Reach a federation, to be closed by the caller. Raises FederationError, AccessError, UnreachableError."""
    access = federation.access()
    try:
        access.connect()
    except BaseException:
        access.close()
        raise
    return access
