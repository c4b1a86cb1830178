"""The stores by their scheme; this is the only place that picks one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from v6flow.stores.folder.store import FolderStore
from v6flow.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.stores.base import RunStore

STORES: dict[str, Callable[[str], RunStore]] = {"folder": FolderStore, "memory": MemoryStore.shared}
"""What opens the store behind `SCHEME:`; a name without one of these is a folder."""


def open_store(name: str | None = None) -> RunStore:
    """The store of a name; None or empty: V6FLOW_STORE, else `.v6flow` in the current folder. Raises UsageError."""
    name = name or os.environ.get("V6FLOW_STORE") or ".v6flow"
    scheme, colon, rest = name.partition(":")
    return STORES[scheme](rest) if colon and scheme in STORES else STORES["folder"](name)
