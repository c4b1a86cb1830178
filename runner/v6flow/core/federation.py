"""A federation as a file describes it: who there is, with what data, and which package stands for which image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json


@dataclass(frozen=True, slots=True)
class Directory:
    """What a plan must know of a federation: names in the federation's order, the server's ids, who is offline."""

    organizations: tuple[str, ...]
    ids: Mapping[str, int] = field(default_factory=dict)
    offline: tuple[str, ...] = ()
    identity: str = ""
    """What must be the same at a resume: another server, user, collaboration or embedded federation differs here."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    images: tuple[str, ...] | None = None
    """The images that can run here, None if that is not known beforehand."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of an organization: an absolute path or a URI, and vantage6's type of it."""

    label: str
    uri: str
    type: Literal["csv", "parquet", "sql", "sparql", "excel", "other"] = "csv"


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong at an organization, on purpose."""

    crash: bool = False
    garbage: bool = False
    slow: float = 0.0  # seconds before each task run begins
    no_answer: bool = False
    start_failed: int = 0  # the first N attempts of each step do not start


@dataclass(frozen=True, slots=True)
class EmbeddedOrganization:
    """One organization of an embedded federation; `environment` is what its node would give to algorithms."""

    name: str
    id: int  # from 1, in the file's order
    databases: tuple[Database, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    faults: Faults = Faults()


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The package that implements an image: its import name, a folder to import it from, another interpreter."""

    image: str
    package: str
    path: str | None = None  # absolute
    python: str | None = None  # absolute


@dataclass(frozen=True, slots=True)
class EmbeddedFederation:
    """A federation simulated on this machine."""

    file: str  # absolute
    collaboration: str
    organizations: tuple[EmbeddedOrganization, ...]
    algorithms: Mapping[str, Algorithm]
    jobs: int | None = None
    defaults: Mapping[str, Json] = field(default_factory=dict)


Federation = EmbeddedFederation
