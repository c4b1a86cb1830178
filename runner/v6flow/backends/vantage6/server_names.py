"""Names for ids: the collaboration, the study, the organizations and their nodes, as a user sees them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from v6flow.backends.vantage6 import paging
from v6flow.backends.vantage6.paging import repeatedly
from v6flow.backends.vantage6.records import StrangeError, identifier, link
from v6flow.backends.vantage6.refusals import DeniedError, RefusedError
from v6flow.core.directory import Directory
from v6flow.core.json import Json, canonical
from v6flow.errors import FederationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from v6flow.backends.vantage6.configuration import ServerFederation, ServerOrganization
    from v6flow.backends.vantage6.session import Session


class User(Struct, frozen=True):
    """Who is logged in, and of which organization."""

    id: int
    username: str
    organization: int
    organization_name: str
    public_key: str  # of the organization, "" if the server has none


class Collaboration(Struct, frozen=True):
    """A collaboration at the server."""

    id: int
    name: str
    encrypted: bool


class Study(Struct, frozen=True):
    """A study: some of a collaboration's organizations, by their ids; empty until they are asked for."""

    id: int
    name: str
    members: tuple[int, ...] = ()


class StoreLink(Struct, frozen=True):
    """An algorithm store as a server names it."""

    id: int
    name: str
    url: str


class Organization(Struct, frozen=True):
    """An organization: `short` is what the federation file calls it, `name` what the server does.

    `databases` gives, for labels that workflows use, the labels of its node.
    """

    id: int
    short: str
    name: str
    public_key: str  # "" if the server has none
    databases: Mapping[str, str] = field(default_factory=dict)


class ServerNode(Struct, frozen=True):
    """An organization's node; `status` is None if it was never seen, `config` what it shares while it is online."""

    id: int
    name: str
    organization: int
    status: str | None
    last_seen: str | None
    config: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_online(self) -> bool:
        """Whether it is there now."""
        return self.status == "online"

    @property
    def database_labels(self) -> tuple[str, ...] | None:
        """The labels of its databases, None if it does not say."""
        return self.config.get("database_labels")


class ServerDirectory(Struct, frozen=True):
    """Who there is at a server, with the ids and keys that requests need; organizations in the federation's order."""

    server: str
    user: User
    collaboration: Collaboration
    study: Study | None
    organizations: tuple[Organization, ...]
    nodes: tuple[ServerNode, ...] | None
    """None if this user may not see them."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    studies: tuple[Study, ...] | None = None
    """None if they were not asked for."""
    stores: tuple[StoreLink, ...] | None = None
    """None if they were not asked for."""

    def study_id(self, wanted: str | int) -> int:
        """The id of a study of the collaboration. Raises FederationError."""
        return _link(self.studies, "study", wanted)

    def store_id(self, wanted: str | int) -> int:
        """The id of an algorithm store of the collaboration. Raises FederationError."""
        return _link(self.stores, "algorithm store", wanted)

    def name_of(self, organization: int) -> str:
        """The name of an organization for people, by its id; of one that the federation does not have too."""
        known = self.by_id().get(organization)
        return known.short if known else f"organization {organization}"

    def by_id(self) -> dict[int, Organization]:
        """The organizations by their ids."""
        return {each.id: each for each in self.organizations}

    def by_short(self) -> dict[str, Organization]:
        """The organizations by what the federation file calls them."""
        return {each.short: each for each in self.organizations}

    def node(self, organization: int) -> ServerNode | None:
        """The node of an organization in this collaboration, None if there is none or it is not shown."""
        return next((each for each in self.nodes or () if each.organization == organization), None)

    def directory(self) -> Directory:
        """What a plan must know of it."""
        online = {each.organization for each in self.nodes or () if each.is_online}
        return Directory(
            tuple(each.short for each in self.organizations),
            ids={each.short: each.id for each in self.organizations},
            offline=tuple(each.short for each in self.organizations if each.id not in online)
            if self.nodes is not None
            else (),
            identity=canonical(
                {
                    "backend": "vantage6",
                    "server": self.server,
                    "user": self.user.id,
                    "collaboration": self.collaboration.id,
                    "study": self.study.id if self.study else None,
                    "organizations": {each.short: each.id for each in self.organizations},
                }
            ),
            defaults=self.defaults,
            studies=self._members(),
            stores=tuple(known for each in self.stores for known in (each.name, each.id))
            if self.stores is not None
            else None,
        )

    def _members(self) -> dict[str | int, tuple[str, ...]]:
        """Who of us is in each study, by its name and by its id."""
        found: dict[str | int, tuple[str, ...]] = {}
        for study in self.studies or ():
            members = tuple(each.short for each in self.organizations if each.id in study.members)
            found[study.name] = found[study.id] = members
        return found


def read(session: Session, federation: ServerFederation) -> ServerDirectory:
    """All that a backend must know of a federation.

    Raises FederationError for what is not there, AccessError for what this user may not see, UnreachableError.
    """
    user = read_user(session)
    collaboration = find_collaboration(session, federation.collaboration)
    study = find_study(session, federation.study, collaboration) if federation.study is not None else None
    return ServerDirectory(
        str(session.transport.address),
        user,
        collaboration,
        study,
        find_organizations(session, federation.organizations, collaboration, study),
        read_nodes(session, collaboration),
        defaults=federation.defaults,
    )


def read_user(session: Session) -> User:
    """Who is logged in. Raises StrangeError if that is not who has logged in."""
    raw = _object(session, "user", session.user_id())
    number = link(raw.get("organization"))
    if number is None:
        raise StrangeError("the server does not say of which organization we are")
    username, ours = str(raw.get("username", "")), _object(session, "organization", number)
    if username and username.casefold() != session.username.casefold():
        raise StrangeError(f"the login was for the user {session.username}, but the server says that we are {username}")
    return User(raw["id"], username, number, str(ours.get("name", "")), _public_key(ours))


def find_collaboration(session: Session, wanted: str | int) -> Collaboration:
    """The collaboration of exactly that name, or of that id. Raises FederationError."""
    found = repeatedly(lambda: paging.items(session, "/collaboration"))
    raw = pick(found, wanted, "collaboration", "this user can see")
    return Collaboration(raw["id"], str(raw.get("name", "")), raw.get("encrypted") is not False)


def read_studies(session: Session, known: ServerDirectory) -> tuple[Study, ...]:
    """The studies of a collaboration with their organizations. Raises FederationError."""
    found = _studies(session, known.collaboration)
    return tuple(
        Study(
            raw["id"],
            str(raw.get("name", "")),
            tuple(each["id"] for each in _organizations(session, "study_id", raw["id"])),
        )
        for raw in found
    )


def read_stores(session: Session, collaboration: Collaboration) -> tuple[StoreLink, ...]:
    """The algorithm stores of a collaboration. Raises FederationError."""
    try:
        found = paging.items(session, "/algorithmstore", [("collaboration_id", collaboration.id)])
    except RefusedError as error:
        if error.status != 404:
            raise
        raise FederationError("this server does not know algorithm stores (they came with vantage6 4.6)") from error
    return tuple(StoreLink(raw["id"], str(raw.get("name", "")), str(raw.get("url", ""))) for raw in found)


def find_study(session: Session, wanted: str | int, collaboration: Collaboration) -> Study:
    """The study of a collaboration, of exactly that name or of that id. Raises FederationError."""
    raw = pick(_studies(session, collaboration), wanted, "study", f"the collaboration {collaboration.name} has")
    return Study(raw["id"], str(raw.get("name", "")))


def _studies(session: Session, collaboration: Collaboration) -> list[dict[str, Any]]:
    try:
        return _of_collaboration(session, "study", collaboration)
    except RefusedError as error:
        if error.status != 404:
            raise
        raise FederationError("this server does not know studies (they came with vantage6 4.3)") from error


def find_organizations(
    session: Session,
    wanted: Sequence[ServerOrganization],
    collaboration: Collaboration,
    study: Study | None,
) -> tuple[Organization, ...]:
    """The organizations of the federation file, else all there are, in its order. Raises FederationError."""
    members = _organizations(session, "collaboration_id", collaboration.id)
    where = f"the collaboration {collaboration.name} has"
    if study is not None:
        there = {raw["id"] for raw in members}
        members = _organizations(session, "study_id", study.id)
        outside = sorted(raw["id"] for raw in members if raw["id"] not in there)
        if outside:
            raise StrangeError(
                f"the server lists organization {outside[0]} in the study {study.name}, "
                f"but not in its collaboration {collaboration.name}"
            )
        where = f"the study {study.name} has"
    if not wanted:
        _check_unique([(str(raw.get("name")), raw["id"]) for raw in members])
        ordered = sorted(members, key=lambda raw: int(raw["id"]))
        return tuple(_organization(raw, str(raw.get("name", "")), {}) for raw in ordered)
    found = []
    for each in wanted:
        name = each.name if each.id is None else each.id
        raw = pick(members, each.short if name is None else name, "organization", where)
        found.append(_organization(raw, each.short, each.databases))
    _check_unique([(each.name, each.id) for each in found])
    return tuple(found)


def read_nodes(session: Session, collaboration: Collaboration) -> tuple[ServerNode, ...] | None:
    """The nodes of a collaboration, None if this user may not see them."""
    try:
        found = _of_collaboration(session, "node", collaboration)
    except DeniedError:
        return None
    return tuple(_node(raw) for raw in found)


def _organization(raw: dict[str, Any], short: str, databases: Mapping[str, str]) -> Organization:
    return Organization(raw["id"], short, str(raw.get("name", "")), _public_key(raw), databases=databases)


def _node(raw: dict[str, Any]) -> ServerNode:
    number = link(raw.get("organization"))
    if number is None:
        raise StrangeError(f"the server does not say whose the node {raw['id']} is")
    config: dict[str, tuple[str, ...]] = {}
    for each in raw.get("config") or ():
        if isinstance(each, dict) and isinstance(each.get("key"), str):
            config[each["key"]] = (*config.get(each["key"], ()), str(each.get("value")))
    status, seen = raw.get("status"), raw.get("last_seen")
    return ServerNode(
        raw["id"],
        str(raw.get("name", "")),
        number,
        status if isinstance(status, str) else None,
        seen if isinstance(seen, str) else None,
        config=config,
    )


def _public_key(raw: dict[str, Any]) -> str:
    key = raw.get("public_key")
    return key if isinstance(key, str) else ""


def _object(session: Session, kind: str, number: int) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        value = session.get(f"/{kind}/{number}").value
        found = identifier(value.get("id")) if isinstance(value, dict) else None
        if not isinstance(value, dict) or found is None:
            raise StrangeError(f"what the server gives as /{kind}/{number} is none")
        if found != number:
            raise StrangeError(f"the server returned {kind} {found} when {kind} {number} was requested")
        return value

    return repeatedly(read)


def _organizations(session: Session, key: str, number: int) -> list[dict[str, Any]]:
    """The organizations of a collaboration or a study."""
    return repeatedly(lambda: paging.items(session, "/organization", [(key, number)]))


def _of_collaboration(session: Session, kind: str, collaboration: Collaboration) -> list[dict[str, Any]]:
    """What a collaboration has of a kind of which each item says to which collaboration it belongs."""

    def read() -> list[dict[str, Any]]:
        found = paging.items(session, f"/{kind}", [("collaboration_id", collaboration.id)])
        for raw in found:
            if raw.get("collaboration") is not None and link(raw["collaboration"]) != collaboration.id:
                raise StrangeError(
                    f"the server lists the {kind} {raw['id']} in the collaboration {collaboration.name}, "
                    "but it belongs to another one"
                )
        return found

    return repeatedly(read)


def pick(found: Iterable[dict[str, Any]], wanted: str | int, what: str, where: str) -> dict[str, Any]:
    """The one item with that id, or exactly that name: a server's own filter takes _ and % for other things."""
    known = list(found)
    key = "id" if isinstance(wanted, int) else "name"
    matches = [raw for raw in known if raw.get(key) == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(str(raw["id"]) for raw in matches)
        raise FederationError(f"there are several of the name {wanted!r} ({ids})", hint="write the id, as a number")
    names = [str(raw.get("name")) for raw in known]
    near = difflib.get_close_matches(str(wanted), names, n=1)
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    raise FederationError(
        f"no {what} with the {key} {wanted!r}; {where} {listed or 'none'}",
        hint=f"did you mean {near[0]!r}?" if near else None,
    )


def _link(known: Sequence[Study | StoreLink] | None, what: str, wanted: str | int) -> int:
    for each in known or ():
        if wanted in (each.id, each.name):
            return each.id
    raise FederationError(f"the collaboration has no {what} {wanted!r}")


def _check_unique(found: Sequence[tuple[str, int]]) -> None:
    """That no organization is there under two names, and no name stands for two."""
    names, ids = [name for name, _ in found], [number for _, number in found]
    twice = next((name for name, number in found if names.count(name) > 1 or ids.count(number) > 1), None)
    if twice is not None:
        raise FederationError(f"the organization {twice!r} is there twice", hint="write `id` where names are equal")
