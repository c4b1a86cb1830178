"""A federation at a server, as a federation file describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct, field

from v6flow.backends.base import Federation
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.backends.base import FederationFile
    from v6flow.backends.existence import ExistenceCheck

_PATH_OF_KEY = pattern(r"(?!.*-----).{1,255}\.[A-Za-z]\w{0,7}")


class ServerOrganization(Struct, frozen=True):
    """An organization under its short name: its name at the server or its id there, never both.

    `databases` gives, for labels that workflows use, the labels that this organization's node uses.
    """

    short: str
    name: str | None = None
    id: int | None = None
    databases: Mapping[str, str] = field(default_factory=dict)


class ServerFederation(Federation, frozen=True):
    """A collaboration at a vantage6 server; an integer is an id, a text is a name.

    Credentials are kept as they are written: as references. No organizations: all that the collaboration has.
    """

    backend: ClassVar[str] = "vantage6"
    access_class: ClassVar[str] = "v6flow.backends.vantage6.access:ServerAccess"
    server: str
    collaboration: str | int
    username: str
    password: str
    study: str | int | None = None
    organizations: tuple[ServerOrganization, ...] = ()
    totp_secret: str | None = None
    private_key: str | None = None  # absolute
    ca_file: str | None = None  # absolute
    allow_http: bool = False

    @classmethod
    def parse(cls, file: FederationFile) -> ServerFederation:
        """What the file says; credentials stay references."""
        raw = file.raw
        plain = ("server", "collaboration", "study", "username", "password", "totp_secret", "allow_http")
        given: dict[str, Any] = {key: raw[key] for key in plain if key in raw}
        given |= {key: file.absolute(raw[key]) for key in ("private_key", "ca_file") if key in raw}
        return cls(
            organizations=tuple(
                ServerOrganization(short, each.get("name"), each.get("id"), databases=each.get("databases", {}))
                for short, each in raw.get("organizations", {}).items()
            ),
            **given,
            **file.shared(),
        )

    @classmethod
    def check_existence(cls, check: ExistenceCheck) -> None:
        """That credentials can be looked up, and that the files of keys and certificates are there."""
        raw = check.document.value
        for key in ("username", "password", "totp_secret"):
            if key in raw:
                check.reveal((key,), raw[key])
        if "private_key" in raw:
            check.file(("private_key",), raw["private_key"], _key_shown(raw["private_key"]))
        if "ca_file" in raw:
            what = f"file of a certificate authority {raw['ca_file']}"
            check.file(("ca_file",), raw["ca_file"], what, folder=True)

    def awaited(self) -> str | None:
        """The server, unless it waits for a person, who knows."""
        from v6flow.backends.vantage6.second_factor import PERSON

        return None if PERSON.asking else self.server


def _key_shown(path: str) -> str:
    """What a message calls a private key: by its path, unless what should be a path may be the key itself."""
    return f"private key {path}" if _PATH_OF_KEY.fullmatch(path) else "private key: what `private_key` names"
