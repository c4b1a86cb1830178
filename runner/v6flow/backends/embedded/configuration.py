"""A federation that is simulated on this machine, as a federation file describes it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from msgspec import Struct

from v6flow import paths
from v6flow.backends.base import Federation
from v6flow.core import policy
from v6flow.core.directory import Directory
from v6flow.core.json import canonical
from v6flow.core.language import units
from v6flow.core.language.problem import Problem
from v6flow.core.language.words import nearest, suggestion
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.backends.base import FederationFile
    from v6flow.backends.existence import ExistenceCheck
    from v6flow.core.language.document import Document
    from v6flow.core.language.problem import Path as Place

DatabaseType: TypeAlias = Literal["csv", "parquet", "sql", "sparql", "excel", "other"]

_ENDINGS: dict[str, DatabaseType] = {
    ".csv": "csv", ".parquet": "parquet", ".xlsx": "excel", ".xls": "excel",
    ".sqlite": "sql", ".sqlite3": "sql", ".db": "sql",
}  # fmt: skip
_SQLITE = pattern(r"(sqlite(?:\+\w+)?:///)([^?]*)(.*)", re.DOTALL)


class Database(Struct, frozen=True):
    """A database of an organization: an absolute path or a URI, and vantage6's type of it."""

    label: str
    uri: str
    type: DatabaseType = "csv"


class Faults(Struct, frozen=True):
    """What goes wrong at an organization, on purpose."""

    crash: bool = False
    garbage: bool = False
    slow: float = 0.0  # seconds before each task run begins
    no_answer: bool = False
    start_failed: int = 0  # the first N attempts of each step do not start


class EmbeddedOrganization(Struct, frozen=True):
    """One organization of an embedded federation; `environment` is what its node would give to algorithms."""

    name: str
    id: int  # from 1, in the file's order
    databases: tuple[Database, ...]
    environment: Mapping[str, str] = {}
    offline: bool = False
    faults: Faults = Faults()


class Algorithm(Struct, frozen=True):
    """The package that implements an image: its import name, a folder to import it from, another interpreter."""

    image: str
    package: str
    path: str | None = None  # absolute
    python: str | None = None  # absolute


class EmbeddedFederation(Federation, frozen=True):
    """A federation simulated on this machine."""

    backend: ClassVar[str] = "embedded"
    access_class: ClassVar[str] = "v6flow.backends.embedded.access:EmbeddedAccess"
    unencrypted: ClassVar[str] = "is simulated here, where nothing is encrypted"
    outlives_program: ClassVar[bool] = False
    collaboration: str
    organizations: tuple[EmbeddedOrganization, ...]
    algorithms: Mapping[str, Algorithm]
    studies: Mapping[str, tuple[str, ...]] = {}
    identity: str = ""

    @classmethod
    def parse(cls, file: FederationFile) -> EmbeddedFederation:
        """What the file says, with references to data and environment resolved."""
        raw = file.raw
        return cls(
            collaboration=str(raw.get("collaboration", "embedded")),
            organizations=tuple(
                _organization(name, number, each or {}, file)
                for number, (name, each) in enumerate(raw["organizations"].items(), start=1)
            ),
            algorithms={
                image: Algorithm(
                    image,
                    each["package"],
                    **{key: file.absolute(each[key]) for key in ("path", "python") if key in each},
                )
                for image, each in raw.get("algorithms", {}).items()
            },
            studies={name: tuple(members) for name, members in raw.get("studies", {}).items()},
            identity=_identity(raw, file.absolute),
            **file.shared(),
        )

    @classmethod
    def problems(cls, document: Document) -> list[Problem]:
        """The members of studies that are no organizations."""
        organizations = document.value["organizations"]
        return [
            Problem(
                f"no organization {name!r}",
                "unknown-organization",
                document.name,
                document.position(("studies", study, index)),
                suggestion(name, organizations),
            )
            for study, members in document.value.get("studies", {}).items()
            for index, name in enumerate(members)
            if name not in organizations
        ]

    @classmethod
    def check_existence(cls, check: ExistenceCheck) -> None:
        """That databases, packages and interpreters are there, and that counts are declared of images there are."""
        raw = check.document.value
        for name, organization in raw["organizations"].items():
            at = ("organizations", name)
            for label, database in organization.get("databases", {}).items():
                if isinstance(database, str):
                    _check_database(check, (*at, "databases", label), database)
                else:
                    _check_database(check, (*at, "databases", label, "uri"), database["uri"])
            for variable, text in organization.get("environment", {}).items():
                check.reveal((*at, "environment", variable), text)
        algorithms = raw.get("algorithms", {})
        for image, algorithm in algorithms.items():
            at = ("algorithms", image)
            if "python" in algorithm:
                _check_interpreter(check, (*at, "python"), algorithm["python"])
            if "path" in algorithm:
                check.folder((*at, "path"), algorithm["path"])
                _check_package(check, (*at, "package"), algorithm["package"], algorithm["path"])
        for image in raw.get("policy", {}).get("counts", {}):
            if not any(policy.may_mean(image, each) for each in algorithms):
                message = f"no algorithm of this federation has the image {image}, so these counts are never used"
                hint = suggestion(image, algorithms) or f"it has {', '.join(algorithms) or 'none'}"
                at = ("policy", "counts")
                check.complain((*at, image), message, "unknown-image", hint, severity="warning", of_key=True)

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


def _check_database(check: ExistenceCheck, at: Place, text: str) -> None:
    uri = check.reveal(at, text)
    if uri is None:
        return
    file = sqlite_file(uri) or uri
    if "://" not in file:
        what = f"database file {file}" if uri == text else f"database file: what {text} stands for"
        check.file(at, file, what, folder=True)


def _check_interpreter(check: ExistenceCheck, at: Place, path: str) -> None:
    """That an interpreter is there; it is not read, and is often a link to one that lies elsewhere."""
    file = check.absolute(path)
    if not check.is_folder(at, file.parent) or not os.access(file, os.F_OK):
        check.missing(at, f"interpreter {path}")


def _check_package(check: ExistenceCheck, at: Place, package: str, path: str) -> None:
    folder = check.absolute(path)
    *outer, name = package.split(".")
    beside = folder.joinpath(*outer)
    try:
        if not paths.is_folder(folder) or paths.is_folder(beside / name) or paths.is_file(beside / f"{name}.py"):
            return
        names = [each.stem for each in paths.entries(beside) if each.suffix == ".py" or paths.is_folder(each)]
    except paths.OutsideError:
        return  # of the folder that is told, and a link out of it is no package
    near = nearest(name, sorted(names))
    hint = f"did you mean {'.'.join([*outer, near])}?" if near else None
    check.complain(at, f"no package {package} in the folder {path}", "missing-file", hint)


def _organization(name: str, number: int, raw: Mapping[str, Any], file: FederationFile) -> EmbeddedOrganization:
    faults = dict(raw.get("faults", {}))
    if "slow" in faults:
        faults["slow"] = units.seconds(faults["slow"])
    return EmbeddedOrganization(
        name,
        number,
        tuple(_database(label, each, file) for label, each in raw.get("databases", {}).items()),
        environment={key: file.reveal(str(value)) for key, value in raw.get("environment", {}).items()},
        offline=raw.get("offline", False),
        faults=Faults(**faults),
    )


def _database(label: str, raw: Any, file: FederationFile) -> Database:
    if isinstance(raw, str):
        raw = {"uri": raw}
    uri = file.reveal(raw["uri"])
    remote = "://" in uri
    ending = uri[uri.rfind(".") :].lower() if "." in uri else ""
    return Database(
        label,
        _placed(uri, file.absolute),
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
    References stay as written, since their values are secret.
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
