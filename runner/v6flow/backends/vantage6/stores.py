"""Reads from an algorithm store what the algorithms in it are declared to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from v6flow.backends.vantage6 import address, paging, server_names
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import DeniedError, RefusedError, StaleTokenError, UntrustedError, plain
from v6flow.core.checks.declarations import Argument, DeclaredAlgorithm, DeclaredFunction, Unknown
from v6flow.core.language.words import suggestion
from v6flow.errors import FederationError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.backends.vantage6.address import ServerAddress
    from v6flow.backends.vantage6.server_names import Collaboration, StoreLink
    from v6flow.backends.vantage6.session import Session
    from v6flow.backends.vantage6.transport import Limits, Response, Transport

LARGEST_PAGE = 16 * 1024 * 1024  # bytes of a hundred algorithms, each of which is a few KiB
SILENCE, TOTAL, PATIENCE = 15.0, 60.0, 5.0  # seconds: nothing depends on a store that does not answer
DOCKER_HUB = ("docker.io", "index.docker.io")


def find(session: Session, wanted: str | int, collaboration: Collaboration) -> StoreLink:
    """The algorithm store of a collaboration, of exactly that name or of that id.

    Raises FederationError, and what Session.get raises.
    """
    known = {each.id: each for each in server_names.read_stores(session, collaboration)}
    listed = [{"id": each.id, "name": each.name} for each in known.values()]
    found = server_names.pick(listed, wanted, "algorithm store", f"the collaboration {collaboration.name} has")
    return known[found["id"]]


def declared(
    session: Session, store: StoreLink, images: Iterable[str], *, allow_http: bool = False, as_user: bool = True
) -> dict[str, DeclaredAlgorithm | Unknown]:
    """What a store declares of some images, all read at once; that it cannot be had is no error.

    `allow_http` lets the store be one that is asked without TLS, over which our token may travel. `as_user` False
    sends it no token: what is not public is then unknown.
    """
    called = f"the algorithm store {plain(store.name)}"
    try:
        place = _address(session, store, allow_http=allow_http)
        found = _listed(_Reader(session, place, as_user=as_user))
    except V6flowError as error:
        unknown = Unknown(f"{called} cannot be read: {_why(error)}", _hint(error))
        return dict.fromkeys(images, unknown)
    return {image: _declared(found, image, called) for image in images}


def is_same_image(kept: str, asked: str) -> bool:
    """Whether a task's image, as the server keeps it, is the one that was asked for by way of a store.

    The server puts the store's name for it in the place of ours, and `@` and the digest of the approved build
    behind it.
    """
    (name, digest), (wanted, pinned) = _canonical(kept), _canonical(asked)
    return name == wanted and pinned in (None, digest)


# --------------------------------------------------------------------------------------------------- the store


class _Reader(Struct):
    """Reads from a store.

    What is sent is what vantage6's own client sends: the header `Server-Url`, which says by which server the store
    is to judge us, and our token for that server, which the store shows it (`/token/user/validate`) to learn who
    asks. Unlike that client we ask without the token first, as public stores do not want it. Whoever runs the
    store could act as us with that token until it ends; the store's address is the one that our server names,
    and redirects are not followed.
    """

    session: Session
    place: ServerAddress
    as_user: bool = True
    token: str | None = None

    def get(
        self, path: str, params: Iterable[tuple[str, str | int]] = (), *, patience: float | None = None
    ) -> Response:
        """Read (see Transport.get)."""
        asked = tuple(params)
        if self.token is None:
            try:
                return self._get(path, asked, patience)
            except StaleTokenError:  # "Missing Authorization header"
                if not self.as_user:
                    raise
            except DeniedError as error:
                if error.said is None or not self.as_user:  # not the store speaks, but what stands before it
                    raise
            self.token = self.session.access_token()
        return self._get(path, asked, patience)

    def _get(self, path: str, params: tuple[tuple[str, str | int], ...], patience: float | None) -> Response:
        # a hyphen: proxies and many servers drop the header as the official client writes it, `server_url`
        headers = [("Server-Url", str(self.session.transport.address))]
        return self._transport().get(path, params, token=self.token, patience=patience, headers=headers)

    def _transport(self) -> Transport:
        ours = self.session.transport
        return ours.to(self.place, _limits(ours.limits))


def _listed(reader: _Reader) -> list[dict[str, Any]]:
    try:
        return paging.items(reader, "/algorithm")
    except RefusedError as error:
        if error.status != 404 or error.said is not None or reader.place.path:
            raise
    reader.place = reader.place.at("/api")  # which servers before 4.8 leave out
    return paging.items(reader, "/algorithm")


def _limits(ours: Limits) -> Limits:
    return replace(
        ours,
        silence=min(ours.silence, SILENCE),
        total=min(ours.total, TOTAL),
        patience=min(ours.patience, PATIENCE),
        body=min(ours.body, LARGEST_PAGE),
    )


def _address(session: Session, store: StoreLink, *, allow_http: bool) -> ServerAddress:
    """Where a store is. Raises FederationError for where we do not go."""
    try:
        place = address.parse(store.url, allow_http=True)
    except FederationError as error:
        raise FederationError("the address that the server gives for it is none that can be used") from error
    if place.is_here and not session.transport.address.is_here:
        raise FederationError(f"the server gives {place} for it, which to us is this machine, not the server's")
    if place.scheme == "http" and not place.is_here and not allow_http:
        raise FederationError(
            f"{place} is plain http: our login could be read by anybody on the way",
            hint="`allow_http: true` in the federation file allows it if the network itself is protected",
        )
    return place


def _why(error: V6flowError) -> str:
    """What the store says itself, if it does."""
    if isinstance(error, (RefusedError, DeniedError)) and error.said is not None:
        return f"it says: {error.said}"
    return error.message


def _hint(error: V6flowError) -> str | None:
    """What to do, if it is the same for a store as for a server."""
    if isinstance(error, RefusedError) and error.status == 403:
        return "a store knows servers by their exact addresses: is `server` the one by which it was linked?"
    return error.hint if isinstance(error, (FederationError, UntrustedError)) else None


# -------------------------------------------------------------------------------------------- what is in there


def _declared(found: list[dict[str, Any]], image: str, called: str) -> DeclaredAlgorithm | Unknown:
    wanted, digest = _canonical(image)
    same = [raw for raw in found if _canonical(str(raw.get("image", "")))[0] == wanted]
    if not same:
        images = [plain(str(raw.get("image", ""))) for raw in found]
        return Unknown(f"{called} has no approved algorithm {image}", suggestion(image, images), absent=True)
    builds = [raw for raw in same if digest in (None, raw.get("digest"))]
    if not builds:
        approved = plain(str(same[0].get("digest")))
        return Unknown(f"{called} has approved another build of {wanted}, {approved}", absent=True)
    try:
        return _algorithm(max(builds, key=lambda raw: int(raw["id"])), called)  # the store takes the latest too
    except StrangeError as error:
        return Unknown(f"what {called} declares of {image} cannot be read: {error.message}")


def _canonical(image: str) -> tuple[str, str | None]:
    """An image as a store keeps it, without what is meant anyway, and its digest if it names one."""
    name, _, digest = image.partition("@")
    registry, slash, rest = name.partition("/")
    if slash and registry in DOCKER_HUB:
        name = rest
    return name.removesuffix(":latest"), digest or None


def _algorithm(raw: dict[str, Any], called: str) -> DeclaredAlgorithm:
    digest = raw.get("digest")
    return DeclaredAlgorithm(
        plain(str(raw["image"])),
        tuple(_function(each) for each in _list(raw, "functions")),
        called,
        digest=plain(digest) if isinstance(digest, str) else None,
    )


def _function(raw: dict[str, Any]) -> DeclaredFunction:
    type_ = raw.get("type")
    if type_ not in ("central", "federated"):
        raise StrangeError(f"a function is of the type {plain(str(type_))}")
    return DeclaredFunction(
        _name(raw),
        central=type_ == "central",
        arguments=tuple(_argument(each) for each in _list(raw, "arguments")),
        databases=tuple(_name(each) for each in _list(raw, "databases")),
    )


def _argument(raw: dict[str, Any]) -> Argument:
    type_, has_default, default = raw.get("type"), raw.get("has_default_value"), raw.get("default_value")
    return Argument(
        _name(raw),
        type_ if isinstance(type_, str) else "",
        has_default=has_default if isinstance(has_default, bool) else None,
        default=plain(default) if isinstance(default, str) else None,
        frontend_only=raw.get("is_frontend_only") is True,
        allowed=tuple(plain(str(each.get("value"))) for each in _list(raw, "allowed_values", needed=False)),
    )


def _list(raw: dict[str, Any], key: str, *, needed: bool = True) -> list[dict[str, Any]]:
    value = raw.get(key)
    if value is None and not needed:  # as before stores knew it
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise StrangeError(f"its {key} are no list of objects")
    return value


def _name(raw: dict[str, Any]) -> str:
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise StrangeError("something in it has no name")
    return plain(name)
