"""What a person logs in with, and the tokens that this gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

if TYPE_CHECKING:
    from v6flow.references import Secret


class Credentials(Struct, frozen=True):
    """What a person logs in with; `totp` is the secret of two-factor login."""

    username: Secret
    password: Secret
    totp: Secret | None = None

    @property
    def secrets(self) -> list[Secret]:
        """All that there are."""
        return [each for each in (self.username, self.password, self.totp) if each is not None]


class Tokens(Struct, frozen=True):
    """What a log-in gave; they cannot be shown or pickled. `until` is on our own clock."""

    access: str
    refresh: str | None
    user: int | None
    until: float
    generation: int

    def __repr__(self) -> str:
        return f"Tokens(generation={self.generation})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("tokens are not pickled")
