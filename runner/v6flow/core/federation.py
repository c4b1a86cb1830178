"""A federation as a file describes it: one that is simulated here, or one at a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from v6flow.core import policy, server
from v6flow.core.json import Json, canonical
from v6flow.core.language import units
from v6flow.core.policy import NO_LIMITS, Policy
from v6flow.core.server import ServerFederation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DatabaseType: TypeAlias = Literal["csv", "parquet", "sql", "sparql", "excel", "other"]

_ENDINGS: dict[str, DatabaseType] = {
    ".csv": "csv", ".parquet": "parquet", ".xlsx": "excel", ".xls": "excel",
    ".sqlite": "sql", ".sqlite3": "sql", ".db": "sql",
}  # fmt: skip
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]*)(.*)", re.DOTALL)


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
    studies: Mapping[str | int, tuple[str, ...]] = field(default_factory=dict)
    """The organizations of each study, by its name and by its id."""
    stores: tuple[str | int, ...] | None = None
    """The names and the ids of the algorithm stores, None if any will do."""
    policy: Policy = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Database:
    """A database of an organization: an absolute path or a URI, and vantage6's type of it."""

    label: str
    uri: str
    type: DatabaseType = "csv"


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

    backend: ClassVar[str] = "embedded"
    file: str  # absolute
    collaboration: str
    organizations: tuple[EmbeddedOrganization, ...]
    algorithms: Mapping[str, Algorithm]
    studies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    jobs: int | None = None
    defaults: Mapping[str, Json] = field(default_factory=dict)
    identity: str = ""
    policy: Policy = NO_LIMITS

    def directory(self) -> Directory:
        """What a plan must know of it."""
        return Directory(
            tuple(each.name for each in self.organizations),
            ids={each.name: each.id for each in self.organizations},
            offline=tuple(each.name for each in self.organizations if each.offline),
            identity=self.identity or self.file,
            defaults=self.defaults,
            images=tuple(self.algorithms),
            policy=self.policy,
            studies=dict([*self.studies.items(), *enumerate(self.studies.values(), start=1)]),
        )


Federation: TypeAlias = EmbeddedFederation | ServerFederation


def parse(
    raw: Mapping[str, Any], file: str, *, absolute: Callable[[str], str], reveal: Callable[[str], str]
) -> Federation:
    """The federation of a mapping that is sound by the schema.

    `absolute` makes a path absolute that is relative to the file; `reveal` gives what a reference like `${env:X}`
    stands for, where that is no secret to be looked up at the last moment.
    """
    if raw["backend"] == "vantage6":
        return server.parse(raw, file, absolute=absolute)
    return parse_embedded(raw, file, absolute=absolute, reveal=reveal)


def parse_embedded(
    raw: Mapping[str, Any], file: str, *, absolute: Callable[[str], str], reveal: Callable[[str], str]
) -> EmbeddedFederation:
    """The embedded federation of a mapping (see `parse`)."""
    organizations = tuple(
        _organization(name, number, each or {}, absolute, reveal)
        for number, (name, each) in enumerate(raw["organizations"].items(), start=1)
    )
    algorithms = {
        image: Algorithm(
            image,
            each["package"],
            path=absolute(each["path"]) if "path" in each else None,
            python=absolute(each["python"]) if "python" in each else None,
        )
        for image, each in raw.get("algorithms", {}).items()
    }
    return EmbeddedFederation(
        file,
        str(raw.get("collaboration", "embedded")),
        organizations,
        algorithms,
        studies={name: tuple(members) for name, members in raw.get("studies", {}).items()},
        jobs=raw.get("jobs"),
        defaults=raw.get("defaults", {}),
        identity=_identity(raw, absolute),
        policy=policy.parse(raw.get("policy", {})),
    )


def _organization(
    name: str,
    number: int,
    raw: Mapping[str, Any],
    absolute: Callable[[str], str],
    reveal: Callable[[str], str],
) -> EmbeddedOrganization:
    faults = raw.get("faults", {})
    return EmbeddedOrganization(
        name,
        number,
        tuple(_database(label, each, absolute, reveal) for label, each in raw.get("databases", {}).items()),
        environment={key: reveal(str(value)) for key, value in raw.get("environment", {}).items()},
        offline=raw.get("offline", False),
        faults=Faults(
            crash=faults.get("crash", False),
            garbage=faults.get("garbage", False),
            slow=units.seconds(faults["slow"]) if "slow" in faults else 0.0,
            no_answer=faults.get("no_answer", False),
            start_failed=faults.get("start_failed", 0),
        ),
    )


def _database(label: str, raw: Any, absolute: Callable[[str], str], reveal: Callable[[str], str]) -> Database:
    if isinstance(raw, str):
        raw = {"uri": raw}
    uri = reveal(raw["uri"])
    remote = "://" in uri
    ending = uri[uri.rfind(".") :].lower() if "." in uri else ""
    return Database(
        label,
        _placed(uri, absolute),
        raw.get("type") or ("sql" if remote else _ENDINGS.get(ending, "csv")),
    )


def sqlite_file(uri: str) -> str | None:
    """The path of the file behind `sqlite:///…`, as it is written; None for any other address."""
    match = _SQLITE.fullmatch(uri)
    if match is None or match[2] in ("", ":memory:") or match[2].startswith("file:"):
        return None
    return match[2]


def _placed(uri: str, absolute: Callable[[str], str]) -> str:
    """A path, or the address of a file, made absolute; another address as it is."""
    file = sqlite_file(uri)
    if file is not None and not file.startswith("/"):
        return _SQLITE.sub(lambda match: match[1] + absolute(file) + match[3], uri)
    return uri if "://" in uri else absolute(uri)


def _identity(raw: Mapping[str, Any], absolute: Callable[[str], str]) -> str:
    """What must not change between a run and its resume: all but who is offline, faults, and how much goes on at once.

    Files count by where they are, so that the same text in another folder, with other data, is another federation.
    References stay as written, since what they stand for is secret.
    """

    def place(text: str) -> str:
        return text if "${" in text else _placed(text, absolute)

    def database(given: Any) -> Any:
        return {**given, "uri": place(given["uri"])} if isinstance(given, dict) else place(given)

    organizations = {}
    for name, each in raw["organizations"].items():
        kept = {key: value for key, value in (each or {}).items() if key not in ("offline", "faults", "databases")}
        databases = (each or {}).get("databases", {})
        organizations[name] = {
            **kept,
            "databases": {label: database(given) for label, given in databases.items()},
        }
    algorithms = {
        image: {key: place(value) if key in ("path", "python") else value for key, value in each.items()}
        for image, each in raw.get("algorithms", {}).items()
    }
    return canonical(
        {
            "backend": "embedded",
            "collaboration": raw.get("collaboration"),
            "organizations": organizations,
            "algorithms": algorithms,
            **({"studies": raw["studies"]} if "studies" in raw else {}),
        }
    )
