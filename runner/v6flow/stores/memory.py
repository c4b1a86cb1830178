"""A journal that lives as long as its process."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from v6flow.core.execution.codec import decode, encode
from v6flow.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.core.execution.events import Event


class MemoryJournal:
    """A Journal for tests, and for runs of which nothing is to stay.

    Events are held as text, as on disk: what is given back is equal, not the same; nobody changes the past.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._kept: dict[str, bytes] = {}

    def append(self, events: Sequence[Event], *, durable: bool) -> None:  # noqa: ARG002  memory knows no difference
        """See Journal."""
        self._rows += [json.dumps(encode(event)) for event in events]

    def events(self) -> Iterator[Event]:
        """See Journal."""
        return (decode(*json.loads(row)) for row in tuple(self._rows))

    def keep(self, body: bytes) -> str:
        """See Journal."""
        digest = hashlib.sha256(body).hexdigest()
        self._kept[digest] = bytes(body)
        return digest

    def fetch(self, digest: str) -> bytes:
        """See Journal."""
        try:
            return self._kept[digest]
        except KeyError:
            raise JournalError(f"{digest!r} is not the digest of anything kept") from None

    def close(self) -> None:
        """See Journal; it can still be read."""
