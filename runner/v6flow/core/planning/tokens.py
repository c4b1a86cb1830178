"""Digests of values, and the token that names one submission."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from v6flow.core.json import canonical

if TYPE_CHECKING:
    from v6flow.core.json import Json


def digest(value: Json) -> str:
    """A short name of a value: equal values have equal ones."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def token(run: str, step: str, organizations: tuple[str, ...], attempt: int) -> str:
    """The name of one submission, the same whenever it is computed: 32 hexadecimal digits."""
    return hashlib.blake2b(canonical([run, step, list(organizations), attempt]).encode(), digest_size=16).hexdigest()
