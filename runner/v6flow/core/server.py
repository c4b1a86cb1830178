"""A federation at a server, as a federation file describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from v6flow.core import policy
from v6flow.core.policy import NO_LIMITS, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.core.json import Json


@dataclass(frozen=True, slots=True)
class ServerOrganization:
    """An organization under its short name: its name at the server or its id there, never both.

    `databases` gives, for labels that workflows use, the labels that this organization's node uses.
    """

    short: str
    name: str | None = None
    id: int | None = None
    databases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerFederation:
    """A collaboration at a vantage6 server; an integer is an id, a text is a name.

    Credentials are kept as they are written: as references. No organizations: all that the collaboration has.
    """

    backend: ClassVar[str] = "vantage6"
    file: str  # absolute
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
    jobs: int | None = None
    defaults: Mapping[str, Json] = field(default_factory=dict)
    policy: Policy = NO_LIMITS


def parse(raw: Mapping[str, Any], file: str, *, absolute: Callable[[str], str]) -> ServerFederation:
    """The federation of a mapping that is sound by the schema; `absolute` makes a path so."""
    return ServerFederation(
        file,
        raw["server"],
        raw["collaboration"],
        raw["username"],
        raw["password"],
        study=raw.get("study"),
        organizations=tuple(
            ServerOrganization(short, each.get("name"), each.get("id"), databases=each.get("databases", {}))
            for short, each in raw.get("organizations", {}).items()
        ),
        totp_secret=raw.get("totp_secret"),
        private_key=absolute(raw["private_key"]) if "private_key" in raw else None,
        ca_file=absolute(raw["ca_file"]) if "ca_file" in raw else None,
        allow_http=raw.get("allow_http", False),
        jobs=raw.get("jobs"),
        defaults=raw.get("defaults", {}),
        policy=policy.parse(raw.get("policy", {})),
    )
