"""The address of a server as a federation file gives it, and what is refused in it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from v6flow.errors import FederationError


class ServerAddress(Struct, frozen=True):
    """Where the API of a server is; `path` begins with / or is empty, and never ends with /."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def origin(self) -> str:
        """The address without its path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}"

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def at(self, path: str) -> ServerAddress:
        """The same server with another path."""
        return replace(self, path=path)

    def __str__(self) -> str:
        return self.origin + self.path


def parse(text: str, *, allow_http: bool = False) -> ServerAddress:
    """The address in a text. Raises FederationError, without showing what may be a password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise FederationError(
            "the server's address cannot be read", hint="it looks like https://v6.example.org/api"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FederationError("the server's address is not one", hint="it looks like https://v6.example.org/api")
    if "@" in parts.netloc:
        raise FederationError(
            "the server's address holds a user name or password",
            hint="write `username` and `password` beside `server`",
        )
    if parts.query or parts.fragment:
        raise FederationError("the server's address ends with ? or #", hint="it looks like https://v6.example.org/api")
    address = ServerAddress(parts.scheme, parts.hostname.rstrip("."), port, parts.path.rstrip("/"))
    if address.scheme == "http" and not address.is_here and not allow_http:
        raise FederationError(
            f"{address} is plain http: passwords and results could be read by anybody on the way",
            hint="use https://, or write `allow_http: true` in the federation file if the network itself is protected",
        )
    return address
